"""litellm's way to the network: httpx requests, sent through the gateway's own client.

So the guard against private addresses, the refusal of redirects, the timeouts, the pooled connections and the words for
what went wrong are those of every other provider. litellm's own HTTP layer would repeat a request whose connection
broke, follow redirects and read proxy variables.
"""

from collections.abc import AsyncIterator

import httpx
from yarl import URL

from gateway_project.lib import bounded_json
from routing import http1, loops
from routing.providers import sse
from routing.providers.base import Failure, Target, Timeouts, UpstreamError
from routing.providers.openai_wire import blocks, prepare, refusal, unanswered, whole

# Set by our own client, or about this connection only.
_HOP_HEADERS = frozenset(
    {
        b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding", b"user-agent",
        loops.WIRE_NAME,
    }
)  # fmt: skip


class Call(httpx.AsyncBaseTransport):
    """One attempt's HTTP request: sends it, and keeps what became of it, whatever litellm makes of that."""

    def __init__(self, target: Target, timeouts: Timeouts, *, stream: bool) -> None:
        self.target = target
        self.timeouts = timeouts
        self.stream = stream
        self.response: http1.Response | None = None
        self.error: UpstreamError | None = None

    def close(self) -> None:
        """Drop the connection unless the answer was read to its end."""
        if self.response is not None:
            self.response.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._send(request)
        except UpstreamError as error:
            self.error = error
            raise

    async def _send(self, request: httpx.Request) -> httpx.Response:
        if self.response is not None:
            raise UpstreamError(Failure.DROPPED, "the request was sent once already")
        headers = {
            name.decode(): value.decode() for name, value in request.headers.raw if name.lower() not in _HOP_HEADERS
        }
        headers |= {"Accept-Encoding": "identity", "User-Agent": "llm-gateway"}
        prepared = prepare(URL(str(request.url), encoded=True), headers)
        pool, sent = http1.pool(local=self.target.local), await request.aread()
        try:
            self.response = response = await pool.send(prepared, sent, self.timeouts, loops.header_line())
        except http1.HttpError as error:
            raise unanswered(error, self.timeouts) from None
        if response.status >= 300:
            raise await refusal(response, self.target)
        kind = [(b"content-type", response.field(b"content-type") or b"")]
        if self.stream:
            body = _Kept(self, blocks(response))
            return httpx.Response(response.status, headers=kind, stream=body, request=request)
        content = await whole(response)
        try:
            bounded_json.check(content)
        except bounded_json.TooManyValues as error:
            raise UpstreamError(Failure.JUNK, f"answered with too much: {error}") from None
        return httpx.Response(response.status, headers=kind, content=content, request=request)


class _Kept(httpx.AsyncByteStream):
    """A stream's bytes, in whole events, whose breaking is remembered by the call."""

    def __init__(self, call: Call, parts: AsyncIterator[bytes]) -> None:
        self.call = call
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        begun = False
        try:
            async for part in self.parts:
                # litellm would pass over what is no event, and make an empty answer of it.
                if not begun and (b"data:" in part or not sse.looks_like_events(part)):
                    begun = sse.first_chunk(part) is not None
                    if not begun:
                        raise UpstreamError(Failure.JUNK, "answered with something that is not an event stream")
                yield part
            if not begun:
                raise UpstreamError(Failure.JUNK, "answered with a stream without a chunk")
        except UpstreamError as error:
            self.call.error = error
            raise
