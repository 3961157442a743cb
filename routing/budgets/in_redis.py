"""The till in Redis: a hash for each scope, and one script that reads, decides and writes at once.

Lua's numbers are exact up to 2^53 and picodollars are not, so an amount is a pair: whole dollars and the rest.

The keys carry the generation and Redis's own run id, and a marker says which generation reserves here: so what another
generation left, or a Redis that was started from an old copy of its data, counts for nobody.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway_project.lib import redis_link
from gateway_project.lib.redis_link import RedisLink, Script
from routing.budgets.book import Unopened, budget_of, shortfall
from routing.budgets.periods import Span, span_of
from routing.budgets.place import Leaf, Stale, Verdict, Wish

PICO: Final = 10**12
# Seconds after which a scope that nobody asks about is forgotten, and read from the ledger when it is asked about.
KEPT: Final = 2 * 86_400
# Scopes that are brought in one call.
CHUNK: Final = 500

# KEYS: the marker, then each leaf's hash. ARGV: the generation, this teller's id, 1 when it may begin the generation,
# then what to do, as JSON: [leaves, wishes].
#   leaf: [{day: [dollars, pico]} held here, [[period, batch, dollars, pico]] newly read sums,
#          [[day, batch, dollars, pico]] landed, batch in doubt]
#   wish: [dollars, pico, day, [[leaf's number, period, first day, end day, dollars, pico of the limit]]]
# A period is "<name>:<first day>:<end day>". A hash has "l" (the last batch with anything that landed),
# "s:<period>" ("<batch> <dollars> <pico>") and "h:<teller>:<day>" ("<dollars> <pico>"): see `book.Page`.
# Says for each wish: "" (granted), "?<n>" (what was spent of its nth budget is not known), or
# "<n> <dollars> <pico> <dollars> <pico>": its nth budget has no room, as so much is spent, and so much held.
SCRIPT: Final = Script(
    """
local PICO = 1000000000000
local marker = redis.call('GET', KEYS[1])
local generation, me = ARGV[1], ARGV[2]
if marker ~= generation then
  if ARGV[3] ~= '1' or (marker and tonumber(marker) > tonumber(generation)) then
    return redis.error_reply('STALE ' .. (marker or '0'))
  end
  redis.call('SET', KEYS[1], generation)
end

local function add(a, b)
  local dollars, pico = a[1] + b[1], a[2] + b[2]
  if pico >= PICO then return {dollars + 1, pico - PICO} end
  return {dollars, pico}
end
local function exceeds(a, b)
  return a[1] > b[1] or (a[1] == b[1] and a[2] > b[2])
end
local function text(a) return string.format('%.0f %.0f', a[1], a[2]) end

local asked = cjson.decode(ARGV[4])
local pages = {}
for n, leaf in ipairs(asked[1]) do
  local page = {own = leaf[1], others = {}, spent = {}, batches = {}, old = {}}
  local landed = 0
  local stored = redis.call('HGETALL', KEYS[n + 1])
  for i = 1, #stored, 2 do
    local name, value = stored[i], stored[i + 1]
    local sort = string.sub(name, 1, 2)
    if name == 'l' then
      landed = tonumber(value)
    elseif sort == 's:' then
      local batch, dollars, pico = string.match(value, '^(%d+) (%d+) (%d+)$')
      local period = string.sub(name, 3)
      page.spent[period] = {tonumber(dollars), tonumber(pico)}
      page.batches[period] = tonumber(batch)
      page.old['s:' .. period] = true
    elseif sort == 'h:' then
      local teller, day = string.match(name, '^h:(.*):(%-?%d+)$')
      if teller == me then
        page.old[name] = true
      else
        local dollars, pico = string.match(value, '^(%d+) (%d+)$')
        page.others[day] = add(page.others[day] or {0, 0}, {tonumber(dollars), tonumber(pico)})
      end
    end
  end
  for _, told in ipairs(leaf[3]) do
    local day, batch = told[1], told[2]
    for period, known in pairs(page.batches) do
      local first, last = string.match(period, ':(%-?%d+):(%-?%d+)$')
      if known < batch and day >= tonumber(first) and day < tonumber(last) then
        page.spent[period] = add(page.spent[period], {told[3], told[4]})
      end
    end
    landed = math.max(landed, batch)
  end
  if leaf[4] > 0 then
    for period, known in pairs(page.batches) do
      if known < leaf[4] then page.spent[period] = nil end
    end
    landed = math.max(landed, leaf[4])
  end
  for _, told in ipairs(leaf[2]) do
    local period, batch = told[1], told[2]
    if batch >= landed and (not page.spent[period] or batch >= page.batches[period]) then
      page.spent[period], page.batches[period] = {told[3], told[4]}, batch
    end
  end
  page.landed = landed
  pages[n] = page
end

local function held(page, first, last)
  local total = {0, 0}
  for _, days in ipairs({page.own, page.others}) do
    for day, amount in pairs(days) do
      if tonumber(day) >= first and tonumber(day) < last then total = add(total, amount) end
    end
  end
  return total
end

local verdicts = {}
for i, wish in ipairs(asked[2]) do
  local more, day, verdict = {wish[1], wish[2]}, tostring(wish[3]), ''
  for n, budget in ipairs(wish[4]) do
    local page = pages[budget[1]]
    local spent = page.spent[budget[2]]
    if not spent then verdict = '?' .. n break end
    local reserved = held(page, budget[3], budget[4])
    if exceeds(add(add(spent, reserved), more), {budget[5], budget[6]}) then
      verdict = n .. ' ' .. text(spent) .. ' ' .. text(reserved)
      break
    end
  end
  if verdict == '' then
    for _, budget in ipairs(wish[4]) do
      local own = pages[budget[1]].own
      own[day] = add(own[day] or {0, 0}, more)
    end
  end
  verdicts[i] = verdict
end

for n, page in ipairs(pages) do
  local fields = {'l', string.format('%.0f', page.landed)}
  local function put(name, value)
    page.old[name] = nil
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  for day, amount in pairs(page.own) do put('h:' .. me .. ':' .. day, text(amount)) end
  for period, amount in pairs(page.spent) do
    put('s:' .. period, string.format('%.0f ', page.batches[period]) .. text(amount))
  end
  redis.call('HSET', KEYS[n + 1], unpack(fields))
  for name in pairs(page.old) do redis.call('HDEL', KEYS[n + 1], name) end
  redis.call('EXPIRE', KEYS[n + 1], KEPT)
end
return verdicts
""".replace("KEPT", str(KEPT))
)


class InRedis:
    """See `Place`. Raises `RedisAway`."""

    def __init__(self, link: RedisLink, teller: str) -> None:
        self._link = link
        self._teller = teller
        # Of the connection with this number.
        self._epoch = -1
        self._run_id = ""

    async def register(self, generation: int, leaves: list[Leaf]) -> None:
        for start in range(0, max(len(leaves), 1), CHUNK):
            await self._run(generation, leaves[start : start + CHUNK], [], begin=True)

    def leave(self, generation: int) -> None:
        """Say, if Redis can be told, that it is the till no more: who has not heard of it must not reserve there."""
        if self._link.connected and self._epoch == self._link.epoch:
            marker = f"{redis_link.prefix}:budgets:{self._run_id}:generation"
            self._link.send_script(SCRIPT, [marker], [generation, self._teller, 1, b"[[],[]]"])

    async def reserve(self, generation: int, leaves: list[Leaf], wishes: list[Wish]) -> list[Verdict]:
        told = await self._run(generation, leaves, wishes, begin=False)
        due = {leaf.ref: leaf.due for leaf in leaves}
        return [_verdict(wish, verdict.decode(), due) for wish, verdict in zip(wishes, told, strict=True)]

    async def _run(self, generation: int, leaves: list[Leaf], wishes: list[Wish], *, begin: bool) -> list[bytes]:
        base = await self._base()
        numbers = {leaf.ref: number for number, leaf in enumerate(leaves, 1)}
        todo = [[_leaf(leaf) for leaf in leaves], [_wish(wish, numbers) for wish in wishes]]
        keys = [f"{base}:generation", *(f"{base}:{generation}:{leaf.ref}" for leaf in leaves)]
        try:
            told: list[bytes] = await self._link.run(
                SCRIPT, keys, [generation, self._teller, int(begin), orjson.dumps(todo)]
            )
        except redis_link.RedisRefused as error:
            if error.code == "STALE":
                raise Stale(int(str(error).split()[1])) from None
            raise
        return told

    async def _base(self) -> str:
        """What the keys begin with, for the Redis at the other end of this connection."""
        epoch = self._link.epoch
        if self._epoch != epoch:
            said: bytes = await self._link.call("INFO", "server")
            lines = dict(line.partition(":")[::2] for line in said.decode().split("\r\n"))
            self._epoch, self._run_id = epoch, lines.get("run_id", "")
        return f"{redis_link.prefix}:budgets:{self._run_id}"


def _pair(amount: int) -> tuple[int, int]:
    return divmod(amount, PICO)


def _name(span: Span) -> str:
    return f"{span.period}:{span.first}:{span.end}"


def _leaf(leaf: Leaf) -> list[Any]:
    held = {str(day): _pair(amount) for day, amount in leaf.held.items()}
    spent = [[_name(span), known.batch, *_pair(known.amount)] for span, known in leaf.news.spent.items()]
    landed = [[day, batch, *_pair(amount)] for day, amount, batch in leaf.news.landed]
    return [held, spent, landed, leaf.news.doubt]


def _wish(wish: Wish, numbers: dict[str, int]) -> list[Any]:
    day = wish.reservation.day
    budgets = []
    for scope in wish.reservation.budgets:
        span = span_of(scope.period, day)
        budgets.append([numbers[scope.account], _name(span), span.first, span.end, *_pair(budget_of(scope, span))])
    return [*_pair(wish.more), day, budgets]


def _verdict(wish: Wish, told: str, due: Mapping[str, Mapping[int, int]]) -> Verdict:
    if not told:
        return None
    reservation = wish.reservation
    if told.startswith("?"):
        scope = reservation.budgets[int(told[1:]) - 1]
        return Unopened(scope, reservation.workspace, span_of(scope.period, reservation.day))
    number, *amounts = map(int, told.split())
    scope = reservation.budgets[number - 1]
    span = span_of(scope.period, reservation.day)
    spent, held = amounts[0] * PICO + amounts[1], amounts[2] * PICO + amounts[3]
    own = sum(amount for day, amount in due[scope.account].items() if span.holds(day))
    return shortfall(scope, span, wish.more, spent, held, own)
