"""The limits of a whole installation in Redis: each script is one decision, with nothing in between.

A scope has, under its base name, a log of requests `:r`, a log of tokens `:t`, and its streams `:s` by the end of their
lease. A log is a sorted set by time and the hash `…w` of the weights of its entries, with their sum under the empty
field; a request weighs 1 where nothing is said, so that most of them are in the set alone. From `FINE` entries on,
those of a small part of the window share one, as in log.py. Times are microseconds of Redis' clock as `read_clock`
corrects it, so no process' clock matters.

KEYS are base names: this is for one Redis (or a primary with replicas), not for the slots of a cluster.
"""

from typing import Final

from gateway_project.lib.redis_link import Script
from routing.limits.log import FINE

_COMMON: Final = (
    f"local FINE = {FINE}"
    + """
local function text(number) return string.format('%.0f', number) end
local function keep_for(time) return text(math.ceil(time / 1000) + 1000) end

-- TIME, but whatever it is set back by is added from then on, so that it never goes back.
local function read_clock(key)
  local time = redis.call('TIME')
  local raw = time[1] * 1000000 + time[2]
  local kept = redis.call('HMGET', key, 'raw', 'ahead')
  local last, ahead = tonumber(kept[1]) or raw, tonumber(kept[2]) or 0
  if raw < last then ahead = ahead + last - raw end
  redis.call('HSET', key, 'raw', text(raw), 'ahead', text(ahead))
  return raw + ahead
end

-- A log without what is older than `cut`. `plain` is what an entry weighs of which the hash says nothing: 1 in a log of
-- requests, 0 in one of tokens.
local function read_log(key, plain, cut)
  local log = {key = key, plain = plain, weights = key .. 'w'}
  log.weighted = redis.call('EXISTS', log.weights) == 1
  if log.weighted then
    while true do
      local gone = redis.call('ZRANGEBYSCORE', key, '-inf', cut, 'LIMIT', 0, 500)
      if #gone == 0 then break end
      local freed = 0
      for _, weight in ipairs(redis.call('HMGET', log.weights, unpack(gone))) do
        freed = freed + (tonumber(weight) or plain) - plain
      end
      redis.call('ZREM', key, unpack(gone))
      redis.call('HDEL', log.weights, unpack(gone))
      redis.call('HINCRBY', log.weights, '', text(0 - freed))
    end
  else
    redis.call('ZREMRANGEBYSCORE', key, '-inf', cut)
  end
  log.size = redis.call('ZCARD', key)
  log.total = plain * log.size
  if log.weighted and log.size > 0 then
    log.total = log.total + (tonumber(redis.call('HGET', log.weights, '')) or 0)
  elseif log.weighted then
    redis.call('DEL', log.weights)
    log.weighted = false
  end
  return log
end
-- Returns the name of the entry that it counts in.
local function add(log, id, at, weight, window)
  if log.size >= FINE then
    local part = window / FINE
    at = (math.floor(at / part) + 1) * part
    id = 'to:' .. text(at)
  end
  local new = redis.call('ZADD', log.key, text(at), id)
  local keep = keep_for(window)
  redis.call('PEXPIRE', log.key, keep)
  log.size, log.total = log.size + new, log.total + weight
  if new == 0 or weight ~= log.plain then
    if new == 0 and log.plain > 0 then redis.call('HSETNX', log.weights, id, log.plain) end
    redis.call('HINCRBY', log.weights, id, text(weight))
    redis.call('HINCRBY', log.weights, '', text(weight - new * log.plain))
    log.weighted = true
  end
  if log.weighted then redis.call('PEXPIRE', log.weights, keep) end
  return id
end
-- How long until `surplus` of it has expired.
local function wait_for(log, surplus, window, now)
  if log.plain == 1 and not log.weighted then
    local last = redis.call('ZRANGE', log.key, surplus - 1, surplus - 1, 'WITHSCORES')[2]
    return last and tonumber(last) + window - now or window
  end
  local from = 0
  while true do
    local page = redis.call('ZRANGE', log.key, from, from + 99, 'WITHSCORES')
    if #page == 0 then return window end
    for i = 1, #page, 2 do
      surplus = surplus - (tonumber(redis.call('HGET', log.weights, page[i])) or log.plain)
      if surplus <= 0 then return tonumber(page[i + 1]) + window - now end
    end
    from = from + 100
  end
end
"""
)

# KEYS: the clock, then each scope's base. ARGV: the request's id, its tokens, 1 for a stream, a lease, 0 to look only;
# then for each scope: requests, window, tokens, streams (-1: no limit).
# Returns: the scope that is in the way longest (from 1; 0: none), its unit (1 requests, 2 tokens, 3 streams), for how
# long; then for each scope: requests used, time until all have expired, tokens used, streams, the tokens' entry.
ADMIT: Final = Script(
    _COMMON
    + """
local now = read_clock(KEYS[1])
local id, weight, stream, lease = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4])
local blocked, unit, wait = 0, 0, -1
local function refuse(scope, what, long)
  if long > wait then blocked, unit, wait = scope, what, long end
end

local scopes = {}
for i = 2, #KEYS do
  local base, a = KEYS[i], 4 * i - 2
  local requests, window = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  local tokens, streams = tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local cut = '(' .. text(now - window)
  local scope = {base = base, window = window, reset = 0, streams = 0, entry = '-'}
  if requests >= 0 then
    local log = read_log(base .. ':r', 1, cut)
    local newest = redis.call('ZRANGE', log.key, -1, -1, 'WITHSCORES')[2]
    scope.reset = newest and math.min(tonumber(newest) + window - now, window) or 0
    if log.total >= requests then refuse(i - 1, 1, wait_for(log, log.total + 1 - requests, window, now)) end
    scope.requests = log
  end
  if tokens >= 0 then
    local log = read_log(base .. ':t', 0, cut)
    scope.weight = math.min(weight, tokens)
    local surplus = log.total + scope.weight - tokens
    if tokens == 0 or surplus > 0 then refuse(i - 1, 2, wait_for(log, surplus, window, now)) end
    scope.tokens = log
  end
  if streams >= 0 then
    redis.call('ZREMRANGEBYSCORE', base .. ':s', '-inf', text(now))
    scope.streams = redis.call('ZCARD', base .. ':s')
    if stream and scope.streams >= streams then refuse(i - 1, 3, 0) end
    scope.counts_streams = stream
  end
  scopes[i - 1] = scope
end

if blocked == 0 and ARGV[5] == '1' then
  for _, scope in ipairs(scopes) do
    if scope.requests then
      add(scope.requests, id, now, 1, scope.window)
      scope.reset = scope.window
    end
    if scope.tokens then scope.entry = add(scope.tokens, id, now, scope.weight, scope.window) end
    if scope.counts_streams then
      redis.call('ZADD', scope.base .. ':s', text(now + lease), id)
      redis.call('PEXPIRE', scope.base .. ':s', keep_for(lease))
      scope.streams = scope.streams + 1
    end
  end
end

local told = string.format('%d %d %.0f', blocked, unit, wait)
for _, scope in ipairs(scopes) do
  local requests, tokens = scope.requests and scope.requests.total or 0, scope.tokens and scope.tokens.total or 0
  told = told .. string.format(' %.0f %.0f %.0f %d %s', requests, scope.reset, tokens, scope.streams, scope.entry)
end
return told
"""
)

# A request has ended. KEYS: its scopes' bases. ARGV: its id, then for each scope: the entry of its tokens, and by how
# much they were more than reserved.
SETTLE: Final = Script(
    _COMMON
    + """
for i, base in ipairs(KEYS) do
  local entry, by = ARGV[2 * i], ARGV[2 * i + 1]
  if redis.call('HEXISTS', base .. ':tw', entry) == 1 then
    redis.call('HINCRBY', base .. ':tw', entry, by)
    redis.call('HINCRBY', base .. ':tw', '', by)
  end
  redis.call('ZREM', base .. ':s', ARGV[1])
end
"""
)

# Streams that still run. KEYS: the clock, then a base for each. ARGV: a lease, then the request's id for each.
RENEW: Final = Script(
    _COMMON
    + """
local lease = tonumber(ARGV[1])
local ends = read_clock(KEYS[1]) + lease
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i] .. ':s', text(ends), ARGV[i])
  redis.call('PEXPIRE', KEYS[i] .. ':s', keep_for(lease))
end
"""
)

# What was admitted without Redis; what it has of that already is left as it is. KEYS: the clock, a scope's base.
# ARGV: its window; then for each entry: r or t, its age, its id, its weight.
RECORD: Final = Script(
    _COMMON
    + """
local now, window = read_clock(KEYS[1]), tonumber(ARGV[1])
local cut = '(' .. text(now - window)
local logs = {r = read_log(KEYS[2] .. ':r', 1, cut), t = read_log(KEYS[2] .. ':t', 0, cut)}
for i = 2, #ARGV, 4 do
  local log = logs[ARGV[i]]
  if not redis.call('ZSCORE', log.key, ARGV[i + 2]) then
    add(log, ARGV[i + 2], now - tonumber(ARGV[i + 1]), tonumber(ARGV[i + 3]), window)
  end
end
"""
)
