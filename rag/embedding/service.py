"""The embedding service: answers clients on a Unix socket from the engine, in a thread of the worker process.

Only this user may connect (0600 in a 0700 folder). What is asked is bounded: connections, requests of each, the size
of a frame and of all that are held, and what waits; who does not read its answers is not read from. A socket that a
killed worker left behind is replaced.
"""

import asyncio
import contextlib
import functools
import logging
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag.embedding import wire
from rag.embedding.catalog import Modality
from rag.embedding.engine import Engine
from rag.embedding.engine.core import Call
from rag.embedding.errors import BadInput, EmbeddingError, ModelUnavailable, Overloaded, describe

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 256
MOST_REQUESTS = 1024
# Bytes of requests that are not answered yet, of all connections.
MOST_BYTES = 512 * 1024 * 1024
# Texts of at most so many characters together are made into tokens on the spot, which takes under a millisecond.
AT_ONCE = 4000
# Threads for what makes many tokens, and those for what may wait for a model to be loaded, or for the hub.
THREADS, LOADERS = 4, 2
HOUSEKEEPING_SECONDS = 30.0
STOP_SECONDS = 5.0

Reply = tuple[dict[str, Any], bytes]


class Request:
    """What a client asked for, until it is answered or given up: by a word of its client, or with the connection."""

    def __init__(self, asked: dict[str, Any], body: bytes) -> None:
        self.asked, self.body = asked, body
        self._call: Call | None = None
        self._given_up = False

    def begin(self, begin: Callable[[], Call]) -> Call:
        """The call that `begin` makes. Raises EmbeddingError: also when it was given up before it had a thread."""
        if self._given_up:
            raise EmbeddingError("Nobody waits for it any more.")
        self._call = call = begin()
        if self._given_up:
            call.cancel()
        return call

    def give_up(self) -> None:
        """Nobody waits any more; what has not begun will not."""
        self._given_up = True
        if self._call is not None:
            self._call.cancel()


class Service:
    """`start` returns when clients can connect, `stop` when what was begun has ended or `STOP_SECONDS` are over."""

    def __init__(self, path: str, engine: Engine) -> None:
        self.path = path
        self.engine = engine
        self.connections: set[Connection] = set()
        # Bytes of requests that are not answered yet.
        self.held = 0
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="embedding-call")
        self.loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="embedding-load")
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._serving = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="embedding-service", daemon=True)

    def start(self) -> None:
        """Raises OSError when the socket cannot be made."""
        # A model's thread lets Python go at each of its hundred operations a batch; one that chunks a document beside
        # it would keep Python for 5 ms every time.
        sys.setswitchinterval(0.0005)
        self._thread.start()
        self._serving.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_SECONDS + 1)
        self.engine.stop()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
            logger.exception("the embedding service ended")
        finally:
            self._serving.set()
            for threads in (self.threads, self.loaders):
                threads.shutdown(wait=False, cancel_futures=True)
            self._loop.close()

    async def _serve(self) -> None:
        listener = listen(self.path)
        made = os.stat(self.path).st_ino
        server = await self._loop.create_unix_server(functools.partial(Connection, self), sock=listener)
        keeping = self._loop.create_task(self._keep_house())
        self._serving.set()
        await self._stopping.wait()
        keeping.cancel()
        server.close()
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == made:  # not that of a worker started since
                os.unlink(self.path)
        if running := {task for connection in self.connections for task in connection.running}:
            await asyncio.wait(running, timeout=STOP_SECONDS)
        for connection in list(self.connections):
            connection.close()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            try:
                await self._loop.run_in_executor(self.loaders, self._tidy)
            except Exception:
                logger.exception("idle models could not be looked through")

    def _tidy(self) -> None:
        self.engine.memory.unload_idle()
        self.engine.chooser.refresh()

    # --- Operations: each begins something and awaits its end ---------------------------------------------------

    async def embed(self, request: Request) -> Reply:
        asked = request.asked
        texts, model = asked["texts"], asked["model"]
        if len(texts) > wire.MAX_INPUTS:
            raise BadInput(wire.MAX_INPUTS, "is one too many")
        begin = functools.partial(
            self.engine.embed, texts, model=model, role=asked["role"], truncate=asked["truncate"],
            dimensions=asked["dimensions"], normalize=asked["normalize"],
        )  # fmt: skip
        return await self._made(request, "text", begin, at_once=sum(map(len, texts)) <= AT_ONCE)

    async def rerank(self, request: Request) -> Reply:
        asked = request.asked
        begin = functools.partial(self.engine.rerank, asked["query"], asked["texts"], model=asked["model"])
        return await self._made(request, "rerank", begin)

    async def media(self, request: Request) -> Reply:
        asked = request.asked
        files, start = [], 0
        for size in asked["sizes"]:
            files.append(request.body[start : start + size])
            start += size
        begin = functools.partial(
            self.engine.embed_media, files, asked["op"], model=asked["model"], normalize=asked["normalize"],
            truncate=asked.get("truncate", False),
        )  # fmt: skip
        return await self._made(request, asked["op"], begin)

    async def models(self, request: Request) -> Reply:
        states = await self._loop.run_in_executor(self.threads, self.engine.models)
        return {"models": [asdict(state) for state in states]}, b""

    async def describe(self, request: Request) -> Reply:
        state = await self._loop.run_in_executor(self.loaders, self.engine.describe, request.asked["model"])
        return {"models": [asdict(state)]}, b""

    async def find(self, request: Request) -> Reply:
        state = await self._loop.run_in_executor(self.loaders, self.engine.chooser.find, request.asked["model"])
        return {"models": [asdict(state)]}, b""

    async def stats(self, request: Request) -> Reply:
        return {"stats": self.engine.stats()}, b""

    async def _made(
        self, request: Request, modality: Modality, begin: Callable[[], Call], *, at_once: bool = False
    ) -> Reply:
        """What becomes of a call. It begins at once if that takes no time, else in a thread.

        Those that wait for a model to be loaded have threads of their own, so that those of other models go on.
        """
        ready = self.engine.ready(request.asked["model"], modality)
        if ready and at_once:
            call = request.begin(begin)
        else:
            threads = self.threads if ready else self.loaders
            call = await self._loop.run_in_executor(threads, request.begin, begin)
        made = await asyncio.wrap_future(call.result)
        about = {"dimension": made.dimension, "model": made.model, "revision": made.revision, "tokens": made.tokens}
        return about, b"".join(made.vectors)


Operation = Callable[[Service, Request], Awaitable[Reply]]
OPERATIONS: dict[str, Operation] = {
    "embed": Service.embed,
    "rerank": Service.rerank,
    "image": Service.media,
    "audio": Service.media,
    "models": Service.models,
    "describe": Service.describe,
    "find": Service.find,
    "stats": Service.stats,
}


class Connection(asyncio.Protocol):
    """One client; its requests run side by side."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.requests: dict[int, Request] = {}
        self.running: set[asyncio.Task[None]] = set()
        self._reader = wire.Reader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if len(self.service.connections) >= MOST_CONNECTIONS:
            transport.close()
        else:
            self.service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.service.connections.discard(self)
        for request in self.requests.values():
            request.give_up()

    def pause_writing(self) -> None:
        """It does not read its answers: it gets no more of them until it does."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            for header, body in self._reader.feed(data):
                self._received(header, body)
        except wire.BadFrame as error:
            logger.warning("a client of the embedding service was cut off: %s", error)
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _received(self, header: dict[str, Any], body: bytes) -> None:
        number = header.get("id", 0)
        if header.get("op") == "cancel":
            if (request := self.requests.get(number)) is not None:
                request.give_up()
            return
        request = self.requests[number] = Request(header, body)
        task = asyncio.get_running_loop().create_task(self._answer(number, request, self._reader.size))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _answer(self, number: int, request: Request, size: int) -> None:
        self.service.held += size
        try:
            answer = await self._result(request)
        finally:
            self.service.held -= size
            self.requests.pop(number, None)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._encoded(number, *answer))

    def _encoded(self, number: int, answer: dict[str, Any], block: bytes) -> bytes:
        try:
            return wire.encode({**answer, "id": number}, block)
        except wire.BadFrame:
            error = BadInput(0, f"and what came with it have vectors of more than {wire.MAX_FRAME:,} bytes")
            return wire.encode({"error": describe(error), "id": number})

    async def _result(self, request: Request) -> Reply:
        asked = request.asked
        try:
            if len(self.running) > MOST_REQUESTS or self.service.held > MOST_BYTES:
                raise Overloaded
            operation = OPERATIONS.get(asked.get("op", ""))
            if operation is None:
                raise EmbeddingError("The embedding worker does not know this operation; is it of another version?")
            return await operation(self.service, request)
        except EmbeddingError as error:
            return {"error": describe(error)}, b""
        except (KeyError, TypeError, ValueError) as error:
            logger.exception("a request of the embedding service was malformed")
            return {"error": {"kind": "failed", "message": f"The request was malformed ({type(error).__name__})."}}, b""
        except Exception as error:  # a fault in a model's library must not leave a caller without an answer
            logger.exception("the embedding service failed on a request")
            failure = ModelUnavailable(str(asked.get("model", "")), f"it failed with {type(error).__name__}")
            return {"error": describe(failure)}, b""


def listen(path: str) -> socket.socket:
    """A listening socket at `path`, in place of one that is there. Raises OSError."""
    folder = Path(path).parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    folder.chmod(0o700)
    draft = f"{path[:-4]}.{os.getpid() % 100}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(draft)
        os.chmod(draft, 0o600)
        listener.listen(128)
        # In one step: clients find the old one or the new one.
        os.rename(draft, path)
    except OSError:
        listener.close()
        raise
    return listener
