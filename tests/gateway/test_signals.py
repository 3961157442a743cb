"""What an answer shows of its quality by itself: found in whole answers and in streams, kept with the record."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from gateway_project import embedded
from gateway_project.lib.ids import uuid7_text
from tests.gateway.conftest import MakeScene
from tests.gateway.process import Process
from tests.gateway.scene import Scene

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
AS_JSON: dict[str, Any] = {"response_format": {"type": "json_object"}}
Signals = Callable[[Scene, httpx.Response], list[tuple[str, str, str]]]


@pytest.fixture
def signals(gateway: Process) -> Signals:
    """The evidence in an answer's record: model, complexity, signal. A sample of the answers without one has no say."""

    def read(scene: Scene, response: httpx.Response) -> list[tuple[str, str, str]]:
        scene.record(response)
        with psycopg.connect(embedded.dsn(gateway.data_dir)) as connection:
            row = connection.execute(
                "SELECT evidence FROM analytics_usagerecord WHERE id = %s", [response.headers["x-request-id"]]
            ).fetchone()
        found = [(item["model"], item["complexity"], item["signal"]) for item in (row and row[0]) or []]
        return [item for item in found if item[2] != "answered"]

    return read


def whole(message: dict[str, Any], finish: str) -> str:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return orjson.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).decode()


def streamed(deltas: list[dict[str, Any]], finish: str, *, spaces: bool = False) -> str:
    """The events of a stream; with spaces between JSON's tokens, as some servers write it."""

    def event(delta: dict[str, Any], finish: str | None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        data = {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}
        written = orjson.dumps(data).decode()
        return f"data: {written.replace(':', ': ') if spaces else written}\n\n"

    first = {"role": "assistant", "content": "", "refusal": None}
    events = [event(delta, None) for delta in (first, *deltas)] + [event({}, finish)]
    usage = 'data: {"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
    return "".join([*events, usage, "data: [DONE]\n\n"])


def called(arguments: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]}


def as_stream(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message in pieces of a few characters."""
    if message.get("tool_calls"):
        return [
            called(arguments[start : start + 3], index)
            for index, call in enumerate(message["tool_calls"])
            for arguments in [call["function"]["arguments"]]
            for start in range(0, len(arguments), 3)
        ]
    name = "refusal" if message.get("refusal") else "content"
    text = message[name] or ""
    return [{name: text[start : start + 3]} for start in range(0, len(text), 3)]


def calls(*arguments: str) -> dict[str, Any]:
    return {
        "content": None,
        "tool_calls": [{"type": "function", "function": {"arguments": each}} for each in arguments],
    }


CASES: list[tuple[str, dict[str, Any], str, dict[str, Any], str]] = [
    ("an answer", {"content": "Yes."}, "stop", {}, ""),
    ("a refusal", {"content": None, "refusal": "I will not."}, "stop", {}, "refused"),
    ("one by a filter", {"content": "I"}, "content_filter", {}, "refused"),
    ("talk of refusals", {"content": '"refusal":"no" "finish_reason":"length"'}, "stop", {}, ""),
    ("cut off", {"content": "Once upon"}, "length", {}, "truncated"),
    ("cut as asked", {"content": "Once upon"}, "length", {"max_tokens": 2}, ""),
    ("cut as asked, newly", {"content": "Once upon"}, "length", {"max_completion_tokens": 2}, ""),
    ("JSON", {"content": '{"a": "b\\"c", "d": [1, 2]}'}, "stop", AS_JSON, ""),
    ("JSON in a fence", {"content": '```json\n{"a": 1}\n```'}, "stop", AS_JSON, "invalid_json"),
    ("half of it, finished", {"content": '{"a": '}, "stop", AS_JSON, "invalid_json"),
    ("half of it, cut as asked", {"content": '{"a": '}, "length", AS_JSON | {"max_tokens": 2}, ""),
    ("nothing where JSON was asked", {"content": ""}, "stop", AS_JSON, "invalid_json"),
    ("no JSON, and none asked", {"content": '{"a": '}, "stop", {"response_format": {"type": "text"}}, ""),
    ("a call", calls('{"city": "Zürich"}'), "tool_calls", {"tools": TOOLS}, ""),
    ("two calls", calls('{"city": "Zürich"}', '{"city": "Bern"}'), "tool_calls", {"tools": TOOLS}, ""),
    ("a call without arguments", calls(""), "tool_calls", {"tools": TOOLS}, ""),
    ("a broken call", calls('{"city": Zürich}'), "tool_calls", {"tools": TOOLS}, "invalid_arguments"),
    ("a broken one of two", calls("{}", '{"city": '), "tool_calls", {"tools": TOOLS}, "invalid_arguments"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("message", "finish", "fields", "signal"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_an_answer_shows(
    scene: Scene,
    signals: Signals,
    message: dict[str, Any],
    finish: str,
    fields: dict[str, Any],
    signal: str,
    stream: bool,
) -> None:
    if stream:
        body = streamed(as_stream(message), finish)
        scene.behave({"body": body, "content_type": "text/event-stream", "split": 1000, "split_pause": 0.002})
    else:
        scene.behave({"body": whole(message, finish)})
    response = scene.post(stream=stream, complexity="complex", **fields)
    assert response.status_code == 200
    assert signals(scene, response) == ([(scene.model, "complex", signal)] if signal else [])


@pytest.mark.parametrize("split", [1, "whole"])
@pytest.mark.parametrize("spaces", [False, True])
def test_a_stream_in_any_pieces_and_spelling(scene: Scene, signals: Signals, split: int | str, spaces: bool) -> None:
    body = streamed([{"content": "Once upon"}], "length", spaces=spaces)
    scene.behave({"body": body, "content_type": "text/event-stream", "split": split})
    response = scene.post(stream=True)
    assert [signal for _, _, signal in signals(scene, response)] == ["truncated"]


def test_calls_of_two_tools_whose_pieces_come_by_turns(scene: Scene, signals: Signals) -> None:
    pieces = [called('{"a":', 0), called('{"b":', 1), called("1}", 0), called("2}", 1)]
    scene.behave({"body": streamed(pieces, "tool_calls"), "content_type": "text/event-stream"})
    assert signals(scene, scene.post(stream=True, tools=TOOLS)) == []


def test_a_refusal_of_nothing_is_none(scene: Scene, signals: Signals) -> None:
    body = streamed([{"refusal": ""}, {"content": "Yes."}], "stop")
    scene.behave({"body": body, "content_type": "text/event-stream"})
    assert signals(scene, scene.post(stream=True)) == []


def test_a_failure_is_no_answer(scene: Scene, signals: Signals) -> None:
    scene.behave({"status": 500})
    assert signals(scene, scene.post()) == []
    scene.behave({"drop": "after_chunks", "drop_after": 2})
    with scene.stream(**AS_JSON) as response:
        response.read()
    assert signals(scene, response) == []


class TestRetries:
    """Who asks the same again was not content."""

    @staticmethod
    def ask(scene: Scene, text: str, **fields: Any) -> httpx.Response:
        response = scene.post(messages=[{"role": "user", "content": text}], **fields)
        assert response.status_code == 200
        return response

    @pytest.fixture
    def text(self) -> str:
        return f"What is {uuid7_text()}?"

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    def test_the_same_prompt_counts_against_who_answered_before(
        self, scene: Scene, signals: Signals, text: str, stream: bool
    ) -> None:
        first = self.ask(scene, text, complexity="expert", stream=stream)
        second = self.ask(scene, text, stream=stream)
        assert signals(scene, first) == []
        assert signals(scene, second) == [(scene.model, "expert", "retried")]

    def test_it_counts_once_however_often_it_comes(self, scene: Scene, signals: Signals, text: str) -> None:
        found = [signals(scene, self.ask(scene, text)) for _ in range(4)]
        assert [len(each) for each in found] == [0, 1, 0, 0]

    def test_the_model_that_is_blamed_is_the_one_before(
        self, make_scene: MakeScene, signals: Signals, text: str
    ) -> None:
        first, second = make_scene(), make_scene()
        first.account.change_provider(second.provider, enabled=False)
        answer = self.ask(first, text, model="auto")
        assert answer.headers["x-gateway-model"] == first.model
        first.account.change_provider(second.provider, enabled=True)
        first.account.change_provider(first.provider, enabled=False)
        again = self.ask(second, text, model="auto")
        assert again.headers["x-gateway-model"] == second.model
        assert [item[::2] for item in signals(second, again)] == [(first.model, "retried")]

    @pytest.mark.parametrize(
        "other",
        [
            {"messages": [{"role": "user", "content": "What is it?"}]},
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{text}"}]},
        ],
        ids=["another question", "another instruction"],
    )
    def test_another_prompt_is_none(self, scene: Scene, signals: Signals, text: str, other: dict[str, Any]) -> None:
        self.ask(scene, text)
        messages = [{**message, "content": message["content"].format(text=text)} for message in other["messages"]]
        assert signals(scene, scene.post(messages=messages)) == []

    def test_a_long_prompt_that_differs_in_its_middle_is_another(self, scene: Scene, signals: Signals) -> None:
        mark = uuid7_text()
        self.ask(scene, mark + "x" * 2000 + "y" * 2000)
        assert signals(scene, self.ask(scene, mark + "x" * 2000 + "y" * 2001)) == []
        assert len(signals(scene, self.ask(scene, mark + "x" * 2000 + "y" * 2001))) == 1

    def test_pictures_are_told_apart(self, scene: Scene, signals: Signals, text: str) -> None:
        def about(picture: str) -> httpx.Response:
            url = {"url": f"data:image/png;base64,{picture * 3000}"}
            parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": url}]
            return scene.post(messages=[{"role": "user", "content": parts}])

        about("a")
        assert signals(scene, about("b")) == []
        assert len(signals(scene, about("b"))) == 1

    def test_another_key_asks_for_itself(self, scene: Scene, signals: Signals, text: str) -> None:
        self.ask(scene, text)
        other = {"authorization": f"Bearer {scene.account.create_key()['key']}"}
        assert signals(scene, scene.post(messages=[{"role": "user", "content": text}], headers=other)) == []

    def test_several_samples_at_once_are_none(self, scene: Scene, signals: Signals, text: str) -> None:
        scene.behave({"delay": 0.3})
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: self.ask(scene, text), range(4)))
        answers.append(self.ask(scene, text))
        assert [signals(scene, answer) for answer in answers] == [[]] * 5

    def test_after_a_failure_it_is_none(self, scene: Scene, signals: Signals, text: str) -> None:
        scene.behave({"status": 400, "body": '{"error": {"message": "no"}}'}, {})
        assert scene.post(messages=[{"role": "user", "content": text}]).status_code == 400
        assert signals(scene, self.ask(scene, text)) == []


def test_signals_become_evidence(gateway: Process, scene: Scene) -> None:
    scene.behave({"body": whole({"content": "Once upon"}, "length")})
    for number in range(3):
        scene.post(messages=[{"role": "user", "content": f"Story {number}"}], complexity="simple")
    end = time.monotonic() + 5
    with psycopg.connect(embedded.dsn(gateway.data_dir), autocommit=True) as connection:
        while True:
            rows = connection.execute(
                "SELECT complexity, source, good, bad FROM routing_evidence WHERE model = %s", [scene.model]
            ).fetchall()
            if rows == [("simple", "implicit", 0, 0.75)]:
                return
            assert time.monotonic() < end, rows
            time.sleep(0.05)
