"""Sends an answer as a behaviour says: late, in pieces, compressed, broken off."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator

from tests.upstream.answer import Answer
from tests.upstream.behaviour import Behaviour
from tests.upstream.http import Connection
from tests.upstream.records import Record


async def play(answer: Answer, behaviour: Behaviour, connection: Connection, record: Record) -> None:
    """Send `answer` on `connection` and note in `record` how far it came. Raises PeerLeft."""
    await asyncio.sleep(behaviour.delay)
    if behaviour.drop == "before_headers":
        connection.drop()
        return
    headers = {"content-type": behaviour.content_type or answer.content_type, **behaviour.headers}
    if behaviour.gzip:
        headers["content-encoding"] = "gzip"
    whole = answer.body
    if whole is not None and behaviour.gzip:
        whole = gzip.compress(whole)
    length = None if whole is None or behaviour.close else len(whole) + 100 * behaviour.truncate
    record.status = behaviour.status
    await connection.head(behaviour.status, headers, length=length, close=behaviour.close)
    await asyncio.sleep(behaviour.first_byte_delay)
    if behaviour.drop == "after_headers":
        connection.drop()
        return
    if whole is None:
        complete = await play_events(answer, behaviour, connection, record)
    else:
        for piece in pieces(whole, behaviour):
            await send(piece, behaviour, connection)
        complete = not behaviour.truncate
    await asyncio.sleep(behaviour.linger)
    if complete:
        await connection.end()
    else:
        connection.drop()


async def play_events(answer: Answer, behaviour: Behaviour, connection: Connection, record: Record) -> bool:
    """Send a stream's events; False when it broke off as told."""
    squeeze = gzip_flusher() if behaviour.gzip else None
    together = behaviour.split == "whole" and not behaviour.drop
    events: Iterator[bytes] = iter([b"".join(answer.events)] if together else answer.events)
    for event in events:
        if behaviour.drop == "after_chunks" and record.chunks_sent >= behaviour.drop_after:
            return False
        if record.chunks_sent and behaviour.interval:
            await asyncio.sleep(behaviour.interval)
        for piece in pieces(squeeze(event) if squeeze else event, behaviour):
            await send(piece, behaviour, connection)
        record.chunks_sent += 1
    if squeeze:
        await connection.send(squeeze(None))
    return not behaviour.truncate


async def send(piece: bytes, behaviour: Behaviour, connection: Connection) -> None:
    await connection.send(piece)
    if behaviour.split not in ("event", "whole"):
        # Give the kernel and the peer a turn, so that the pieces arrive as pieces.
        await asyncio.sleep(behaviour.split_pause)


def pieces(data: bytes, behaviour: Behaviour) -> Iterator[bytes]:
    size = behaviour.split
    if isinstance(size, str):
        if data:
            yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def gzip_flusher() -> Callable[[bytes | None], bytes]:
    """A function that compresses a part so that its bytes can be read at once; None ends the stream."""
    packer = zlib.compressobj(wbits=31)

    def squeeze(part: bytes | None) -> bytes:
        if part is None:
            return packer.flush()
        return packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)

    return squeeze
