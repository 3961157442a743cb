"""The embedding models, for every process but the worker that holds them. Imports no torch.

    embedded = await client.current.embed(["a question"], role="query")

`embed`, `rerank`, `models`, … are for event loops; the same with `_sync` is for threads. All raise `EmbeddingError`:
`EmbedderAway` at once while no worker runs, and it comes back by itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakKeyDictionary

from django.conf import settings

from rag.embedding import vectors, wire
from rag.embedding.errors import BadInput
from rag.embedding.link import Answer, Link, Pool
from rag.embedding.vectors import floats, halfvec, to_halfvec_text

__all__ = ["Embedded", "Embedder", "ModelState", "current", "floats", "halfvec", "to_halfvec_text"]

Role = Literal["query", "document"]
Text = str | Sequence[int]

# A model's weights may have to be read from a disk first.
SECONDS = 60.0


@dataclass(frozen=True)
class Embedded:
    """`vectors`: float32, little endian, one per input in their order. `tokens` counts each input with its prompt."""

    vectors: list[bytes]
    dimension: int
    model: str
    revision: str
    tokens: list[int]


@dataclass(frozen=True)
class ModelState:
    """A model as the worker knows it.

    `dimensions`: all lengths it can be asked for, its own first; empty while they are not known. `fallback_for`: the
    model in whose place it stands. `note`: why it cannot be used, or what else people should know.
    """

    id: str
    modality: str
    dimensions: list[int] = field(default_factory=list)
    loaded: bool = False
    device: str = ""
    revision: str = ""
    fallback_for: str = ""
    note: str = ""
    max_tokens: int = 0
    # It is what a call without a model's name gets.
    default: bool = False
    # Its weights are on this machine.
    available: bool = True


class Embedder:
    """A client of the service at `path` (settings.EMBED_SOCKET when empty)."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._links: WeakKeyDictionary[asyncio.AbstractEventLoop, Link | asyncio.Task[Link]] = WeakKeyDictionary()
        self._pool = Pool()

    @property
    def path(self) -> str:
        """The socket's address."""
        return self._path or settings.EMBED_SOCKET

    async def embed(
        self,
        texts: Sequence[Text],
        *,
        model: str = "",
        role: Role = "query",
        truncate: bool = False,
        dimensions: int | None = None,
        normalize: bool = True,
        timeout: float = SECONDS,  # noqa: ASYNC109  (a bound of the call, told to threads and tasks alike)
    ) -> Embedded:
        """Vectors of texts, or of the model's own token ids. `role` chooses the prompt that the model's card asks for.

        Raises TooLong unless `truncate`, BadDimensions, BadVector, UnknownModel, ModelUnavailable, Overloaded,
        EmbedderAway, BadInput.
        """
        header = _embed(texts, model, role, truncate, dimensions, normalize)
        return _embedded(await self._call(header, b"", timeout))

    def embed_sync(
        self,
        texts: Sequence[Text],
        *,
        model: str = "",
        role: Role = "query",
        truncate: bool = False,
        dimensions: int | None = None,
        normalize: bool = True,
        timeout: float = SECONDS,
    ) -> Embedded:
        """`embed`, for threads."""
        header = _embed(texts, model, role, truncate, dimensions, normalize)
        return _embedded(self._call_sync(header, b"", timeout))

    async def embed_image(
        self,
        images: Sequence[bytes],
        *,
        model: str = "",
        normalize: bool = True,
        timeout: float = SECONDS,  # noqa: ASYNC109
    ) -> Embedded:
        """Vectors of encoded pictures (PNG, JPEG, WebP, GIF, BMP, TIFF)."""
        header, body = _files("image", images, model, normalize)
        return _embedded(await self._call(header, body, timeout))

    async def embed_audio(
        self,
        sounds: Sequence[bytes],
        *,
        model: str = "",
        normalize: bool = True,
        truncate: bool = False,
        timeout: float = SECONDS,  # noqa: ASYNC109
    ) -> Embedded:
        """Vectors of encoded sounds (WAV, FLAC, OGG, MP3)."""
        header, body = _files("audio", sounds, model, normalize)
        return _embedded(await self._call({**header, "truncate": truncate}, body, timeout))

    async def rerank(
        self,
        query: str,
        texts: Sequence[str],
        *,
        model: str = "",
        timeout: float = SECONDS,  # noqa: ASYNC109
    ) -> list[float]:
        """How well each text answers the query, 0 to 1, in the texts' order, by a cross-encoder."""
        return _scores(await self._call(_rerank(query, texts, model), b"", timeout))

    def rerank_sync(
        self, query: str, texts: Sequence[str], *, model: str = "", timeout: float = SECONDS
    ) -> list[float]:
        """`rerank`, for threads."""
        return _scores(self._call_sync(_rerank(query, texts, model), b"", timeout))

    async def models(self, *, timeout: float = 5.0) -> list[ModelState]:  # noqa: ASYNC109
        """The installation's models and those in use; asking loads none."""
        return _states(await self._call({"op": "models"}, b"", timeout))

    def models_sync(self, *, timeout: float = 5.0) -> list[ModelState]:
        """`models`, for threads."""
        return _states(self._call_sync({"op": "models"}, b"", timeout))

    async def describe(self, model: str = "", *, timeout: float = SECONDS) -> ModelState:  # noqa: ASYNC109
        """The text model that `model` means ("" is the installation's), loaded, so that all of it is known."""
        return _states(await self._call({"op": "describe", "model": model}, b"", timeout))[0]

    def describe_sync(self, model: str = "", *, timeout: float = SECONDS) -> ModelState:
        """`describe`, for threads."""
        return _states(self._call_sync({"op": "describe", "model": model}, b"", timeout))[0]

    def find_sync(self, model: str, *, timeout: float = 10.0) -> ModelState:
        """The text model of this name if it can be used here, or soon; it is not loaded. For threads."""
        return _states(self._call_sync({"op": "find", "model": model}, b"", timeout))[0]

    def stats_sync(self, *, timeout: float = 1.0) -> dict[str, Any]:
        """What the worker has counted since its start, and what waits in it."""
        stats: dict[str, Any] = self._call_sync({"op": "stats"}, b"", timeout)[0]["stats"]
        return stats

    async def _call(self, header: dict[str, Any], body: bytes, seconds: float) -> Answer:
        return await (await self._link()).call(header, body, seconds)

    def _call_sync(self, header: dict[str, Any], body: bytes, seconds: float) -> Answer:
        return self._pool.call(self.path, header, body, seconds)

    async def _link(self) -> Link:
        """This loop's connection; those who come while it is being made wait for the same one."""
        loop = asyncio.get_running_loop()
        known = self._links.get(loop)
        if isinstance(known, Link) and not known.lost:
            return known
        if not isinstance(known, asyncio.Task):
            known = self._links[loop] = loop.create_task(Link.connect(self.path))
            known.add_done_callback(lambda task: self._settle(loop, task))
        return await asyncio.shield(known)

    def _settle(self, loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Link]") -> None:
        if task.cancelled() or task.exception() is not None:
            self._links.pop(loop, None)
        else:
            self._links[loop] = task.result()


def _embed(
    texts: Sequence[Text], model: str, role: Role, truncate: bool, dimensions: int | None, normalize: bool
) -> dict[str, Any]:
    if len(texts) > wire.MAX_INPUTS:
        raise BadInput(wire.MAX_INPUTS, f"is one too many: {wire.MAX_INPUTS} are embedded in one call")
    inputs = [wire.clean(text) if isinstance(text, str) else list(text) for text in texts]
    return {
        "op": "embed", "texts": inputs, "model": model, "role": role,
        "truncate": truncate, "dimensions": dimensions, "normalize": normalize,
    }  # fmt: skip


def _rerank(query: str, texts: Sequence[str], model: str) -> dict[str, Any]:
    if len(texts) > wire.MAX_INPUTS:
        raise BadInput(wire.MAX_INPUTS, f"is one too many: {wire.MAX_INPUTS} are ranked in one call")
    return {"op": "rerank", "query": wire.clean(query), "texts": [wire.clean(text) for text in texts], "model": model}


def _files(op: str, files: Sequence[bytes], model: str, normalize: bool) -> tuple[dict[str, Any], bytes]:
    if sum(map(len, files)) > wire.MAX_FRAME // 2:
        raise BadInput(0, f"and what came with it are more than {wire.MAX_FRAME // 2:,} bytes")
    return {"op": op, "sizes": [len(each) for each in files], "model": model, "normalize": normalize}, b"".join(files)


def _embedded(answer: Answer) -> Embedded:
    header, body = answer
    dimension = header["dimension"]
    made = list(vectors.split(body, dimension)) if body else []
    return Embedded(made, dimension, header["model"], header["revision"], header["tokens"])


def _scores(answer: Answer) -> list[float]:
    return list(vectors.floats(answer[1]))


def _states(answer: Answer) -> list[ModelState]:
    return [ModelState(**state) for state in answer[0]["models"]]


current = Embedder()
