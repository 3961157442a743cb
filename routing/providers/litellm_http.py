"""litellm's way to the network: httpx requests, sent through the gateway's own session.

So the guard against private addresses, the refusal of redirects, the timeouts, the pooled connections and the words for
what went wrong are those of every other provider. litellm's own HTTP layer would repeat a request whose connection
broke, follow redirects and read proxy variables.
"""

from collections.abc import AsyncIterator

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from gateway_project.lib import bounded_json
from routing import loops
from routing.providers import sse
from routing.providers.base import Failure, Target, Timeouts, UpstreamError
from routing.providers.openai_wire import Patience, blocks, connect_within, post, refusal, whole

# Set by aiohttp itself, or about this connection only.
_HOP_HEADERS = frozenset(
    {b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding", b"user-agent"}
)


class Call(httpx.AsyncBaseTransport):
    """One attempt's HTTP request: sends it, and keeps what became of it, whatever litellm makes of that."""

    def __init__(self, target: Target, timeouts: Timeouts, *, stream: bool) -> None:
        self.target = target
        self.timeouts = timeouts
        self.stream = stream
        self.response: aiohttp.ClientResponse | None = None
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
        headers = CIMultiDict(
            (name.decode(), value.decode()) for name, value in request.headers.raw if name.lower() not in _HOP_HEADERS
        )
        headers.update({"Accept-Encoding": "identity", "User-Agent": "llm-gateway", loops.HEADER: loops.header_value()})
        url = URL(str(request.url), encoded=True)
        self.response = response = await post(
            url,
            await request.aread(),
            headers,
            connect_within(self.timeouts),
            self.timeouts,
            local=self.target.local,
        )
        if response.status >= 300:
            raise await refusal(response, self.target)
        patience = Patience(response, self.timeouts)
        kind = [(b"content-type", response.headers.get("Content-Type", "").encode("latin-1", "replace"))]
        if self.stream:
            body = _Kept(self, blocks(response, patience))
            return httpx.Response(response.status, headers=kind, stream=body, request=request)
        content = await whole(response, patience)
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
