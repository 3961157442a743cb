"""What the tests of the engine ask of it and compare."""

import io
import math
import time
import wave
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from rag.embedding.engine import Engine
from rag.embedding.engine.core import Made
from rag.embedding.vectors import floats


def embedded(engine: Engine, texts: Sequence[str | Sequence[int]], **options: Any) -> Made:
    return engine.embed(texts, **options).result.result(30)


def cosine(one: bytes, other: bytes) -> float:
    a, b = floats(one), floats(other)
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def model_of(engine: Engine, name: str = "text") -> Any:
    """The loaded text model of this name."""
    engine.describe(name)
    return engine.memory.loaded()[name].model


def eventually(holds: Callable[[], object], seconds: float = 30) -> None:
    """Returns when it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def picture(color: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, color).save(data, "PNG")
    return data.getvalue()


def sound(seconds: float, hertz: float, rate: int = 16_000) -> bytes:
    samples = array("h", (int(8000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(int(seconds * rate))))
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return data.getvalue()
