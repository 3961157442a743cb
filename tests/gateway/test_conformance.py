"""Recorded streams of the real API reach the client as they are, however the network cuts them."""

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.scene import Scene, events_of, payloads_of

RECORDINGS = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "data" / "conformance"
NAMES = [path.name for path in sorted(RECORDINGS.glob("*.sse"))] or ["none"]
CHUNKINGS: dict[str, dict[str, Any]] = {
    "at once": {"split": "whole"},
    "event by event": {"split": "event", "interval": 0.001},
    "byte by byte": {"split": 1},
    "cut anywhere": {"split": 97, "split_pause": 0.001},
    "compressed": {"split": "event", "gzip": True},
}
# Characters of two, three and four bytes, so that every cut falls within one sooner or later.
TEXT = "Zürich, 東京, 🙂; " * 8


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_recording_arrives_event_for_event(scene: Scene, name: str, chunking: str) -> None:
    if name == "none":
        pytest.skip(f"no recordings in {RECORDINGS}")
    recording = RECORDINGS / name
    scene.behave({"replay": str(recording), **CHUNKINGS[chunking]})
    with scene.stream(stream_options={"include_usage": True}) as response:
        received = response.read()
    assert response.status_code == 200
    assert events_of(received) == events_of(recording.read_bytes())


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1021])
def test_characters_of_several_bytes_survive_every_cut(scene: Scene, size: int) -> None:
    scene.behave({"text": TEXT, "chunks": 5, "split": size})
    with scene.stream(stream_options={"include_usage": True}) as response:
        payloads = payloads_of(response.read())
    assert payloads.pop() == "[DONE]"
    assert "".join(choice["delta"].get("content", "") for row in payloads for choice in row["choices"]) == TEXT


def test_an_event_with_windows_line_ends_and_comments(scene: Scene) -> None:
    choice = b'{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}'
    chunk = b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[' + choice + b"]}"
    stream = b": keep-alive\r\n\r\nevent: message\r\ndata: " + chunk + b"\r\n\r\ndata: [DONE]\r\n\r\n"
    scene.behave({"body": stream.decode()})
    chunks = list(
        scene.sdk.chat.completions.create(model=scene.model, messages=[{"role": "user", "content": "x"}], stream=True)
    )
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["hi"]


@pytest.mark.parametrize("megabytes", [0.3, 4])
def test_an_oversized_event(scene: Scene, megabytes: float) -> None:
    scene.behave({"line_mb": megabytes, "usage": "always"})
    with scene.stream(stream_options={"include_usage": True}) as response:
        payloads = payloads_of(response.read())
    assert max(len(choice["delta"].get("content", "")) for row in payloads[:-1] for choice in row["choices"]) == int(
        megabytes * 2**20
    )
    assert payloads[-1] == "[DONE]"


def test_a_stream_of_ten_thousand_chunks(scene: Scene) -> None:
    scene.behave({"chunks": 10_000})
    with scene.stream() as response:
        payloads = payloads_of(response.read())
    assert len(payloads) == 10_000 + 3  # the role, the end, [DONE]


def test_a_stream_without_its_done_still_ends_with_one(scene: Scene) -> None:
    scene.behave({"done": False})
    with scene.stream() as response:
        payloads = payloads_of(response.read())
    assert payloads[-1] == "[DONE]"
    assert payloads[-2]["choices"][0]["finish_reason"] == "stop"


def test_chunks_are_passed_on_as_they_come(scene: Scene) -> None:
    """A client sees the first word while the upstream still speaks."""
    scene.behave({"chunks": 3, "interval": 0.4})
    with scene.stream() as response:
        first = next(response.iter_bytes())
        assert b"[DONE]" not in first
        assert scene.received()[0]["finished_at"] is None
        response.close()
