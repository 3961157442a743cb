"""Which requests use the cache, and which answers are kept.

Without a word from anybody: requests at temperature 0, whose answers are meant to be the same each time. A policy's
`cache.exact` says every request (true) or none (false), and a request's own `cache` wins over both.

Kept are answers that came to their end: `stop`, and `length` where the client set the limit, as the same request is cut
at the same place again. An answer that calls a tool is kept only where the request itself says `cache: on`: acting on
it a second time may not be harmless. Embeddings have no temperature: they are kept where a policy or a request says so,
as a bulk of vectors would push everything else out.
"""

import re
from typing import Any

from routing.exchange import Exchange

ON, OFF = "on", "off"
# Parameters that ask the provider for more than an answer, or for one that is of its moment.
NOT_OF_ITSELF = frozenset({"store", "web_search_options"})
OFFERS_TOOLS = frozenset({"tools", "functions"})
CALLS = ("tool_calls", "function_call")
# By whether the client set a limit, and whether it asked for the cache: the ends after which an answer is kept.
ENDS = {
    (limited, asked): ("stop", *(["length"] if limited else []), *(CALLS if asked else []))
    for limited in (False, True)
    for asked in (False, True)
}

# Within a JSON string a quotation mark is escaped, so nothing of this is found in what a model wrote.
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"([^"]*)"')
_CALLED = re.compile(rb'"(?:tool_calls|function_call)"\s*:\s*(?:\[\s*)?\{')


def uses_cache(exchange: Exchange) -> bool:
    """Whether the answer to `exchange` may come from the cache, and be kept there."""
    wish = exchange.wishes.cache
    if wish:
        return wish == ON
    body, exact = exchange.body, exchange.policy.cache_exact
    if exact is None:
        exact = is_certain(body)
    if not exact:
        return False
    # An empty object asks for a search with the provider's defaults.
    return NOT_OF_ITSELF.isdisjoint(body) or all(body.get(name) in (None, False) for name in NOT_OF_ITSELF)


def is_certain(body: dict[str, Any]) -> bool:
    """Whether a request asks for the likeliest answer, rather than for one of many."""
    temperature = body.get("temperature")
    return type(temperature) in (int, float) and temperature == 0


def may_wait(exchange: Exchange) -> bool:
    """Whether an identical request may wait for the answer to `exchange`.

    Not where tools are offered: that answer may be a call of one, which is nobody else's.
    """
    body = exchange.body
    return OFFERS_TOOLS.isdisjoint(body) or is_asked(exchange) or not any(body.get(name) for name in OFFERS_TOOLS)


def is_asked(exchange: Exchange) -> bool:
    """Whether the request itself asks for the cache."""
    return exchange.wishes.cache == ON


def calls_tool(exchange: Exchange, answer: bytes) -> bool:
    """Whether `answer`, whole or all events of a stream, to `exchange` calls a tool."""
    if exchange.streamed:
        return _CALLED.search(answer) is not None
    for choice in exchange.answer.get("choices") or ():
        message = choice.get("message") if type(choice) is dict else None
        if type(message) is dict and (message.get(CALLS[0]) or message.get(CALLS[1])):
            return True
    return False


def is_kept(exchange: Exchange, answer: bytes, *, calls: bool) -> bool:
    """Whether `answer`, whole or all events of a stream, to `exchange` is one to be given again.

    `calls` is what `calls_tool` says of it. Linear in its length, and parses nothing of a stream.
    """
    if exchange.endpoint.embeds:
        return True
    asked, body = exchange.wishes.cache == ON, exchange.body
    if calls and not asked:
        return False
    limited = body.get("max_tokens") is not None or body.get("max_completion_tokens") is not None
    ends = ENDS[limited, asked]
    if exchange.streamed:
        reasons = [found.decode("latin-1") for found in _FINISH.findall(answer)]
        return len(reasons) >= _choices(body) and not [reason for reason in reasons if reason not in ends]
    choices = exchange.answer.get("choices")
    for choice in choices or ():
        if type(choice) is not dict or choice.get("finish_reason") not in ends:
            return False
    return bool(choices)


def _choices(body: dict[str, Any]) -> int:
    """How many choices were asked for; of a legacy completion, for each of its prompts."""
    count, prompts = body.get("n"), body.get("prompt")
    each = count if type(count) is int and count > 0 else 1
    if type(prompts) is list and prompts and type(prompts[0]) is not int:  # not the tokens of one
        return each * len(prompts)
    return each
