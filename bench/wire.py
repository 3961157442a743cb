"""What goes over the wire in a benchmark: the requests, the fake upstream's answers, and what each must come to.

The upstream's answer follows from the model's name alone, so that it need not parse a body. The names are real models,
so that the gateway has prices to compute with.
"""

from dataclasses import dataclass

import orjson

CHUNKS = 100
PROMPT_TOKENS = 61
COMPLETION_TOKENS = 103
# Seconds between two chunks of a paced stream.
PACE = 0.01

ANSWER = (
    "A reverse proxy stands in front of one or more servers and answers for them. Clients talk to it as if it were "
    "the service itself; it chooses a server, passes the request on, and returns what comes back. That one place is "
    "where TLS ends, where load is spread, where a slow or broken server is taken out of turn, and where requests are "
    "counted. A forward proxy is the other way round: it acts for clients towards servers they choose themselves."
)

_USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_MESSAGES = [
    {"role": "system", "content": "You explain networking to engineers who are new to it. Plain words, no lists."},
    {
        "role": "user",
        "content": "What is a reverse proxy, what is it good for, and how is it different from a forward proxy? "
        "Four or five sentences will do; I want to put them into the introduction of our handbook.",
    },
]


# 500 tokens of the kind that routing is for: prose, constraints, and some code.
_LONG_MESSAGES = [
    {"role": "system", "content": "You are a senior engineer who reviews the code of a payments team."},
    {
        "role": "user",
        "content": """Our nightly job reconciles card settlements with the orders table and has become too slow: it took
eleven minutes in March, it takes fifty-two now, and it has to be done before the branches open at six. The table of
orders has about forty million rows, some two hundred thousand of them new each day; the settlements come as a CSV
file from the acquirer, with an order reference, an amount in cents, a currency and the day of booking. References may
be in lower or upper case, older ones have a leading zero that newer ones lack, and about one in a thousand is simply
wrong.

This is the part that takes nearly all of the time:

```python
def reconcile(rows, session):
    unmatched = []
    for row in rows:
        reference = row["reference"].strip().upper().lstrip("0")
        order = (
            session.query(Order)
            .filter(func.upper(func.ltrim(Order.reference, "0")) == reference)
            .filter(Order.currency == row["currency"])
            .first()
        )
        if order is None or order.amount_cents != int(row["amount"]):
            unmatched.append(row)
            continue
        order.settled_on = parse_date(row["booked"])
        session.commit()
    return unmatched
```

Explain why it gets slower as the table grows, and rewrite it so that the run time depends on the day's settlements
and not on the number of orders. We use PostgreSQL 15 and SQLAlchemy 2; a migration that adds an index is fine, one
that locks the table for more than a few seconds is not. A run that dies half way must be safe to start again, two
runs at the same time must not settle an order twice, and the list of unmatched rows must stay in the order of the
file. If you see a mistake in the matching itself, say so before you write any code, because finance signs the result
every morning and would rather have an hour's delay than a wrong sum. Last month two chargebacks were booked as sales
because their amounts were negative and someone had taken the absolute value; whatever you propose must not bring that
back. Tests belong to the answer: one for each rule above, with pytest, against a real database.""",
    },
]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: the model that the upstream knows it by, whether the answer is a stream, what is asked."""

    model: str
    stream: bool
    messages: tuple[dict[str, str], ...] = tuple(_MESSAGES)
    # At temperature 0 an answer may come from a cache, and be kept there.
    temperature: float = 0.2
    # Whether no two requests are the same.
    varied: bool = False
    # Whether the key has limits of every sort and a budget.
    limited: bool = False
    # Whether the answers come from the gateway's cache.
    cached: bool = False

    def body(self, model: str) -> bytes:
        """The request as a client sends it that does not ask for usage, as most clients of streams do not.

        Where each is another one, `NUMBER` stands for what is its own.
        """
        messages = list(self.messages)
        if self.varied:
            messages[-1] = messages[-1] | {"content": f"{NUMBER}: {messages[-1]['content']}"}
        request: dict[str, object] = {"model": model, "messages": messages}
        request |= {"temperature": self.temperature, "max_tokens": 400}
        if self.stream:
            request["stream"] = True
        return orjson.dumps(request)


AUTO = "auto"
# Where a varied request has a number of its own, as long as this.
NUMBER = "no. 0000000000000000"
# What `auto` chooses among. All have a price, and those of `KINDS` are among them.
CANDIDATES = (
    "gpt-4o-mini", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4.1", "gpt-4o", "gpt-5", "gpt-5-mini", "gpt-5-nano", "o3",
    "o3-mini", "o4-mini", "gpt-4-turbo",
)  # fmt: skip

# A whole answer; the same to a key with limits and a budget, looked for in the cache in vain, and found there; for a
# request of 500 tokens whose model is to be chosen; a stream of `CHUNKS` that are sent at once; one of which a chunk is
# sent every `PACE` seconds.
KINDS = {
    "chat": Kind("gpt-4o-mini", stream=False),
    "guarded": Kind("gpt-4o", stream=False, temperature=0.0, varied=True, limited=True),
    "cached": Kind("gpt-4.1", stream=False, temperature=0.0, limited=True, cached=True),
    "auto": Kind(AUTO, stream=False, messages=tuple(_LONG_MESSAGES)),
    "burst": Kind("gpt-4.1-mini", stream=True),
    "paced": Kind("gpt-4.1-nano", stream=True),
}


def completion(model: str) -> bytes:
    """The whole answer to a request that is no stream."""
    message = {"role": "assistant", "content": ANSWER, "refusal": None}
    return orjson.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1767225600,
            "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": _USAGE,
            "system_fingerprint": "fp_bench",
        }
    )


def events(model: str, *, usage: bool) -> list[bytes]:
    """A stream's server-sent events: `CHUNKS` with a choice, the usage chunk if wished, `[DONE]`."""
    head: dict[str, object] = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": model,
        "system_fingerprint": "fp_bench",
    }
    words = ANSWER.split()
    deltas: list[dict[str, str]] = [{"content": f"{words[index % len(words)]} "} for index in range(CHUNKS - 1)]
    choices: list[list[object]] = [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}] for delta in deltas
    ]
    choices.append([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}])
    chunks: list[dict[str, object]] = [head | {"choices": choice} for choice in choices]
    if usage:
        chunks.append(head | {"choices": [], "usage": _USAGE})
    return [b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks] + [b"data: [DONE]\n\n"]
