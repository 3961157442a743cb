"""Which wire answers which path, and the two endpoints that a test steers and reads it by."""

import asyncio
import time
from dataclasses import asdict
from typing import Any

from tests.upstream import anthropic_wire, gemini_wire, openai_wire
from tests.upstream.answer import Answer
from tests.upstream.behaviour import Behaviour
from tests.upstream.http import Connection, Request, connection_loop
from tests.upstream.player import play
from tests.upstream.records import Record, Records

DEFAULT_MODELS = ["gpt-upstream", "gpt-4o-mini"]


class Server:
    """The state of one upstream process: its scenes' models and behaviours, and the records."""

    def __init__(self) -> None:
        self.records = Records()
        self.models: dict[str, list[str]] = {}
        # (scene, model or path) -> what its next requests get; the last one stays.
        self.plans: dict[tuple[str, str], list[Behaviour]] = {}
        # Those whose plan begins anew after its last behaviour.
        self.cycles: set[tuple[str, str]] = set()

    async def handle(self, request: Request, connection: Connection) -> None:
        """Answer one request; cancelled when the client leaves."""
        if request.path.startswith("/_"):
            await play(self.steer(request), Behaviour(), connection, _unrecorded())
            return
        scene, path = split_scene(request.path)
        body = request.json()
        model = model_of(path, body)
        record = Record(
            scene=scene,
            method=request.method,
            path=path,
            query=request.query,
            headers=request.headers,
            model=model,
            body=body if body is not None else request.body.decode("utf-8", "replace"),
        )
        self.records.add(record)
        try:
            behaviour = self.behaviour(scene, model, path)
            answer = self.answer(scene, path, model, body, behaviour)
            if answer is None:
                behaviour, answer = Behaviour(status=404), openai_wire.error(404)
            await play(answer, behaviour, connection, record)
            record.finished_at = time.time()
        except BaseException:
            record.peer_left_at = time.time()
            raise

    def behaviour(self, scene: str, model: str, path: str) -> Behaviour:
        for on in (model, path):
            if plan := self.plans.get((scene, on)):
                if (scene, on) in self.cycles:
                    plan.append(plan[0])
                return plan.pop(0) if len(plan) > 1 else plan[0]
        return Behaviour.from_model(model) if "?" in model else Behaviour()

    def answer(self, scene: str, path: str, model: str, body: Any, behaviour: Behaviour) -> Answer | None:
        """What `path` answers; None where there is nothing."""
        fields = body if isinstance(body, dict) else {}
        if (raw := behaviour.raw_body) is not None:
            return raw_answer(raw, behaviour, streamed=bool(fields.get("stream")) or ":stream" in path)
        failed = behaviour.status >= 400
        if path.endswith("/v1/messages"):
            return anthropic_wire.error(behaviour.status) if failed else anthropic_wire.messages(fields, behaviour)
        if ":generateContent" in path or ":streamGenerateContent" in path:
            if failed:
                return gemini_wire.error(behaviour.status)
            streamed = ":stream" in path
            return (gemini_wire.generate_stream if streamed else gemini_wire.generate)(model, fields, behaviour)
        if failed:
            return openai_wire.error(behaviour.status)
        if path.endswith("/chat/completions"):
            return openai_wire.chat(fields, behaviour)
        if path.endswith("/completions"):
            return openai_wire.completion(fields, behaviour)
        if path.endswith("/embeddings"):
            return openai_wire.embeddings(fields, behaviour)
        if path.endswith("/models"):
            return openai_wire.models(self.models.get(scene, DEFAULT_MODELS))
        if path == "/health":
            return Answer.json({"status": "ok"})
        if path == "/api/tags":
            return Answer.json({"models": [{"name": id_} for id_ in self.models.get(scene, DEFAULT_MODELS)]})
        return None

    def steer(self, request: Request) -> Answer:
        """`POST /_control {scene?, models?, on?, behaviours?, cycle?}` and `GET`/`DELETE /_requests`."""
        if request.path == "/_control":
            fields = request.json()
            scene = fields.get("scene", "")
            if "models" in fields:
                self.models[scene] = fields["models"]
            if "behaviours" in fields:
                plan = [Behaviour.from_json(each) for each in fields["behaviours"]]
                self.plans[scene, fields["on"]] = plan
                (self.cycles.add if fields.get("cycle") else self.cycles.discard)((scene, fields["on"]))
                return Answer.json({"plan": [asdict(each) for each in plan]})
            return Answer.json({})
        if request.method == "DELETE":
            self.records.clear()
        return Answer.json({"data": self.records.find(**request.query)})


def _unrecorded() -> Record:
    return Record(scene="", method="", path="", query={}, headers={}, model="", body=None)


def split_scene(path: str) -> tuple[str, str]:
    """`/s/<scene>/rest` -> (scene, `/rest`); without one the scene is "" and the path as it is."""
    if not path.startswith("/s/"):
        return "", path
    scene, _, rest = path.removeprefix("/s/").partition("/")
    return scene, f"/{rest}"


def model_of(path: str, body: Any) -> str:
    """The model that is asked for: in the path for Gemini and Azure, in the body elsewhere."""
    if "/models/" in path and ":" in path:
        return path.rpartition("/models/")[2].rpartition(":")[0]
    if "/deployments/" in path:
        return path.partition("/deployments/")[2].partition("/")[0]
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else ""


def raw_answer(raw: bytes, behaviour: Behaviour, *, streamed: bool) -> Answer:
    """`raw` as it stands: events, cut after each blank line, where a stream was asked for and no other type is told."""
    if not streamed or behaviour.content_type or behaviour.status >= 400:
        return Answer("application/json", raw)
    parts = raw.split(b"\n\n")
    return Answer.stream([part + b"\n\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else []))


async def start(port: int) -> asyncio.Server:
    """Listen on 127.0.0.1:`port` (0: any free one)."""
    return await asyncio.start_server(connection_loop(Server().handle), "127.0.0.1", port, limit=2**26)
