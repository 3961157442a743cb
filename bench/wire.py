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


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: the model that the upstream knows it by, and whether the answer is a stream."""

    model: str
    stream: bool

    def body(self, model: str) -> bytes:
        """The request as a client sends it that does not ask for usage, as most clients of streams do not."""
        request: dict[str, object] = {"model": model, "messages": _MESSAGES, "temperature": 0.2, "max_tokens": 400}
        if self.stream:
            request["stream"] = True
        return orjson.dumps(request)


# A whole answer; a stream of `CHUNKS` that are sent at once; one of which a chunk is sent every `PACE` seconds.
KINDS = {
    "chat": Kind("gpt-4o-mini", stream=False),
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
