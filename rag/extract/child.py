"""The process that parses one file: `python -m rag.extract.child`, started by `rag.extract.process`.

Standard input brings the job and the texts of pages that are pictures, standard output takes the result (`frames`);
the file comes as an open descriptor. Nothing of Django is imported, and of the parsers only the one that is needed.
"""

import os
import sys
import traceback
from typing import Any, BinaryIO

import orjson

from rag.extract import confine, frames
from rag.extract.builder import Builder
from rag.extract.errors import ExtractError
from rag.extract.kinds import kind_of, wrong_name
from rag.extract.model import MIB, Extracted, Limits
from rag.extract.source import Source

LONGEST_MESSAGE = 8 * MIB


def main() -> None:
    """Read one job, answer it."""
    requests = sys.stdin.buffer
    # What a library prints must not end up among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _, payload = frames.read(requests, LONGEST_MESSAGE)
    job = orjson.loads(payload)
    limits = Limits.from_wire(job["limits"])
    confine.limit(limits)
    try:
        result = _parsed(job, limits, requests, answers)
        frames.write(answers, frames.RESULT, orjson.dumps(result.to_wire()))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told in one way, without the document's text
        frames.write(answers, frames.ERROR, orjson.dumps(told(error)))


def _parsed(job: dict[str, Any], limits: Limits, requests: BinaryIO, answers: BinaryIO) -> Extracted:
    def read_image(png: bytes, page: int) -> str:
        frames.write(answers, frames.IMAGE, frames.PAGE.pack(page) + png)
        return frames.read(requests, LONGEST_MESSAGE)[1].decode()

    with os.fdopen(job["file"], "rb") as file:
        source = Source(file, job["name"], job["media_type"], job["charset"], read_image if job["ocr"] else None)
        kind = kind_of(source, limits)
        parser = kind.parser()
        confine.shut()
        builder = Builder(limits)
        builder.media_type = kind.media_type
        if note := wrong_name(kind, source):
            builder.note(note)
        parser.parse(source, builder)
        result = builder.built(job["name"])
    if not result.text.strip():
        raise ExtractError("empty", " ".join(["There is no text in it.", *result.notes]))
    return result


def told(error: BaseException) -> dict[str, str]:
    """An exception as code, words for people, and where it was raised; never its own message, which may quote."""
    if isinstance(error, ExtractError):
        return {"code": error.code, "message": error.message, "detail": error.detail}
    where = traceback.extract_tb(error.__traceback__)[-1:]
    detail = f"{type(error).__module__}.{type(error).__qualname__}"
    detail += "".join(f" at {os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in where)
    if isinstance(error, ImportError):
        detail += f" ({error.name})"
    if isinstance(error, MemoryError):
        return {"code": "memory", "message": "Reading the file takes more memory than is allowed.", "detail": detail}
    if isinstance(error, RecursionError):
        return {"code": "broken", "message": "The file is nested too deeply.", "detail": detail}
    return {"code": "broken", "message": "The file is damaged, or made in a way that cannot be read.", "detail": detail}


if __name__ == "__main__":
    main()
