"""How many tokens a request reserves before anybody has counted: from lengths alone, as it is settled by fact."""

from analytics.usage import Usage
from routing.exchange import Exchange

# Bytes of a request's JSON to a token, and the tokens of an answer that nobody set a limit for.
BYTES_PER_TOKEN = 4
ANSWER = 500
# What a client may name; more is no number of tokens.
MOST = 10_000_000
MOST_ANSWERS = 128


def reserved(exchange: Exchange) -> int:
    """Tokens of the prompt by the request's length, and as many of the answer as may come."""
    body = exchange.body
    expected = 0 if exchange.endpoint.embeds else ANSWER
    answer = _number(body.get("max_completion_tokens", body.get("max_tokens")), expected, MOST)
    if "n" in body:
        answer *= _number(body["n"], 1, MOST_ANSWERS)
    return exchange.length // BYTES_PER_TOKEN + 1 + answer


def _number(given: object, otherwise: int, most: int) -> int:
    """What a client named, as far as it is a number of anything."""
    if type(given) is not int or given <= 0:
        return otherwise
    return given if given < most else most


def used(exchange: Exchange) -> int:
    """Tokens that providers have counted for it, attempts whose answers were not taken included."""
    tokens = _counted(exchange.usage)
    for attempt in exchange.attempts:
        if attempt.usage is not None:
            tokens += _counted(attempt.usage)
    return tokens


def _counted(usage: Usage | None) -> int:
    return usage.prompt + usage.completion if usage is not None else 0
