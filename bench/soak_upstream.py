"""The soak's provider: it says what each request used, fails as it is told, and keeps count of what it said.

`python -m bench.soak_upstream PORT` serves until it is stopped. A request's number stands in its last message as
`#123`; `GET /_told` answers, by number, the usages that were handed to the gateway whole, and `GET /_untold` what those
used that were to come without usage. `POST /_mode` sets the share of requests that fail, hang and break off.
"""

import asyncio
import json
import random
import re
import sys
from typing import Any

import uvloop

from bench.soak_texts import TEXTS, WITHOUT_USAGE, Tokens
from tests.upstream import openai_wire
from tests.upstream.answer import Answer
from tests.upstream.behaviour import Behaviour
from tests.upstream.http import Connection, Request, connection_loop
from tests.upstream.player import play
from tests.upstream.records import Record

NUMBER = re.compile(rb"#(\d+)")
# Seconds that a request hangs for, when it is to.
HANG = 3.0
# Tokens that a request may be said to have used.
PROMPT, COMPLETION = (5, 4000), (1, 900)


# Tokens of the prompt, those of them that were cached, and of the completion.
Told = tuple[int, int, int]


class Server:
    """What was said of which request, and how many are to go wrong, as shares of 1."""

    def __init__(self, models: list[str]) -> None:
        self.models = models
        self.told: dict[int, list[Told]] = {}
        # Tokens of the prompt, and of as much of the answer as was sent.
        self.untold: dict[int, tuple[int, int]] = {}
        self.tokens = Tokens()
        self.mode = {"fail": 0.0, "hang": 0.0, "break": 0.0}
        self.chance = random.Random(5)

    async def handle(self, request: Request, connection: Connection) -> None:
        """Answer one request; cancelled when the gateway hangs up."""
        if not request.path.endswith("/chat/completions"):
            await play(self.steer(request), Behaviour(), connection, _record())
            return
        found = NUMBER.findall(request.body)
        number, body = int(found[-1]) if found else -1, request.json()
        told = WITHOUT_USAGE.encode() not in request.body
        behaviour, usage = self.behaviour(told=told)
        if behaviour.status >= 400:
            await play(openai_wire.error(behaviour.status), behaviour, connection, _record())
            return
        answer, record = openai_wire.chat(body, behaviour), _record()
        events = list(answer.events)
        answer = Answer(answer.content_type, answer.body, events)
        # Said once the event that holds it was handed on, whatever becomes of the rest.
        said_with = next((at for at, event in enumerate(events) if b'"prompt_tokens"' in event), 0)
        whole = False
        try:
            await play(answer, behaviour, connection, record)
            whole = not (events and behaviour.drop)
        finally:
            if not told:
                self.untold[number] = self.produced(body, events[: record.chunks_sent])
            elif whole or (events and record.chunks_sent > said_with):
                self.told.setdefault(number, []).append(usage)

    def produced(self, body: dict[str, Any], sent: list[bytes]) -> tuple[int, int]:
        """What a stream came to that is not told of: tokens of its prompt, and of what was sent."""
        deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in sent if event.startswith(b"data: {")]
        written = "".join(delta.get("content") or "" for delta in deltas)
        return self.tokens.of_chat(body["messages"]), self.tokens.of(written)

    def behaviour(self, *, told: bool) -> tuple[Behaviour, Told]:
        """What the next request gets, and what it used, of which it is `told` or not."""
        fail, hang, broken = (self.chance.random() < self.mode[name] for name in ("fail", "hang", "break"))
        prompt, completion = self.chance.randint(*PROMPT), self.chance.randint(*COMPLETION)
        cached = self.chance.randint(0, prompt // 2)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        behaviour = Behaviour(
            status=500 if fail else 200,
            delay=HANG if hang else 0.0,
            interval=0.01,
            chunks=self.chance.randint(1, 20),
            usage_object=usage,
            usage="asked" if told else "never",
            text="" if told else self.chance.choice(TEXTS),
            drop="after_chunks" if broken else "",
            drop_after=2,
        )
        return behaviour, (prompt, cached, completion)

    def steer(self, request: Request) -> Answer:
        """`POST /_mode`, `GET /_told`, `GET /_untold`, and the list of models."""
        if request.path == "/_mode":
            self.mode |= request.json()
            return Answer.json(self.mode)
        if request.path == "/_told":
            return Answer.json({str(number): usages for number, usages in self.told.items()})
        if request.path == "/_untold":
            return Answer.json({str(number): usage for number, usage in self.untold.items()})
        return openai_wire.models(self.models)


def _record() -> Record:
    empty: dict[str, Any] = {}
    return Record(scene="", method="", path="", query=empty, headers=empty, model="", body=None)


async def serve(port: int, models: list[str]) -> None:
    """Serve on the loopback interface until the task is cancelled."""
    handle = connection_loop(Server(models).handle)
    listener = await asyncio.start_server(handle, "127.0.0.1", port, limit=2**24, backlog=1024)
    async with listener:
        await listener.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2:]))
