"""What a request may hold is bounded by what reading it takes, and no text counts."""

import time
from typing import Any

import orjson
import pytest

from gateway_project.lib.bounded_json import MAX_PARTS, TooManyValues, loads_request

MANY = MAX_PARTS + 10


@pytest.mark.parametrize(
    "document",
    [
        {str(number): 1 for number in range(MANY)},
        {"a": [{} for _ in range(MANY)]},
        {"a": [[] for _ in range(MANY)]},
        {"a": [{"role": "user"}] * MANY},
        {"\\": '"', "a": [[] for _ in range(MANY)]},
    ],
)
def test_a_request_of_too_many_parts_is_refused_at_once(document: Any) -> None:
    raw = orjson.dumps(document)
    began = time.process_time()
    with pytest.raises(TooManyValues):
        loads_request(raw)
    assert time.process_time() - began < 0.25


@pytest.mark.parametrize(
    "document",
    [
        {"a": "{[:" * MANY},
        {"a": '{"a": [1]},\n' * MANY},
        {"a": '\\"{' * MANY, "b": "\\"},
        {"a": "\\", "b": "{:" * MANY, "c": "\\\\"},
        {"a": list(range(4 * MANY))},
        {"a": [{"b": 1}] * (MAX_PARTS // 2)},
    ],
)
def test_texts_and_numbers_are_no_parts(document: Any) -> None:
    assert loads_request(orjson.dumps(document)) == document


def test_what_is_no_json_is_said_to_be_none() -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads_request(b'{"a": "' + b"[" * MANY)
