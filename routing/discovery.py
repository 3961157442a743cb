"""Asks a provider whether it is there, whether it takes the key, and which models it has.

Every kind is asked over plain HTTP, those included whose requests litellm translates, so that asking imports nothing.
What comes back is told in words of ours: an upstream's own words could carry the key.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

import aiohttp
import orjson

from gateway_project.lib.net import BlockedAddress, guarded_connector
from keys.kinds import Kind
from keys.probe import ProbeResult
from keys.vault import Secret
from routing.providers import demo

T = TypeVar("T")

# Of a list of models, whole: OpenRouter's, the longest known, has about 0.6 MB.
MAX_BODY = 4 * 1024 * 1024
MAX_MODELS = 2000
MAX_NAME = 300


class _Wrong(Exception):
    """Why a provider is no use, in plain words."""


async def probe(kind: Kind, base_url: str, secret: Secret | None, seconds: float) -> ProbeResult:
    """Check the health of the server at `base_url` (an API base) and list its models, within `seconds`.

    Raises nothing that a server could cause: `ProbeResult.error` says what is wrong.
    """
    started = time.perf_counter()
    models: tuple[str, ...] = ()
    error = ""
    try:
        async with asyncio.timeout(seconds):
            models = await _ask(kind, base_url, secret)
    except _Wrong as wrong:
        error = str(wrong)
    except TimeoutError:
        error = f"It did not answer within {seconds:g} seconds."
    except (aiohttp.ClientError, OSError, ValueError) as failure:
        error = _in_plain_words(failure)
    return ProbeResult(not error, round((time.perf_counter() - started) * 1000), models, error)


def probe_now(kind: Kind, base_url: str, secret: Secret | None, seconds: float) -> ProbeResult:
    """`probe` for synchronous callers."""
    return run(probe(kind, base_url, secret, seconds))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in an event loop of its own.

    Unlike `asyncio.run` it does not wait for threads: a name lookup that hangs would hold it up for minutes.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def each(items: AsyncIterator[T]) -> Iterator[T]:
    """`items` for synchronous callers, each as it comes, from an event loop of its own that stands still in between."""
    loop = asyncio.new_event_loop()
    try:
        while True:
            try:
                item = loop.run_until_complete(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _ask(kind: Kind, base_url: str, secret: Secret | None) -> tuple[str, ...]:
    if kind.wire == "demo":
        return (demo.MODEL,)
    headers = {"accept": "application/json", **dict(kind.models_headers)}
    if secret is not None:
        headers |= kind.auth_headers(secret.reveal())
    async with aiohttp.ClientSession(
        connector=guarded_connector(),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
    ) as session:
        models_url, health_url = kind.models_url(base_url), kind.health_url(base_url)
        if health_url and health_url != models_url:
            status, _ = await _get(session, health_url)
            if status >= 500:
                raise _Wrong(f"It is up but not ready: its health check answered {status}.")
            # Any other status is left to the list of models: servers behind a proxy often show only /v1.
        status, body = await _get(session, models_url)
        _check_status(kind, status, body, keyed=secret is not None)
        found = _model_ids(kind, body)
    return tuple(name for name in found if not _carries(name, secret))


def _carries(name: str, secret: Secret | None) -> bool:
    """A hostile server could send the key back as a model's name. (A key such as "x" is none to protect.)"""
    return secret is not None and len(secret.reveal()) >= 8 and secret.reveal() in name


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    """The status and the body. A redirect is not followed: it could lead anywhere, with the key."""
    async with session.get(url, allow_redirects=False) as response:
        if response.status in (301, 302, 303, 307, 308):
            raise _Wrong(f"It redirects ({response.status}), and redirects are not followed; give the final address.")
        body = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            body += chunk
            if len(body) > MAX_BODY:
                raise _Wrong("It is not an LLM server: its answer is larger than 4 MB.")
        return response.status, bytes(body)


def _check_status(kind: Kind, status: int, body: bytes, *, keyed: bool) -> None:
    if status == 200:
        return
    # Gemini refuses a key with 400.
    if status in (401, 403) or (status == 400 and b"API_KEY_INVALID" in body):
        raise _Wrong(f"The key was refused ({status})." if keyed else f"It asks for a key ({status}).")
    if status == 404:
        raise _Wrong(
            f"It has no list of models ({kind.models_path.partition('?')[0]} answered 404); check the base_url."
        )
    if status == 429:
        raise _Wrong("It is there, but its rate limit is used up (429).")
    if status >= 500:
        raise _Wrong(f"It failed ({status}).")
    raise _Wrong(f"It is not an LLM server: listing its models answered {status}.")


def _model_ids(kind: Kind, body: bytes) -> list[str]:
    """The names in a list of models: OpenAI's `{data: [{id}]}`, Together's bare list, Gemini's `{models: [{name}]}`."""
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        what = "a web page" if body.lstrip()[:1] == b"<" else "no JSON"
        raise _Wrong(f"It is not an LLM server: it answered with {what}.") from None
    entries = document if isinstance(document, list) else None
    if isinstance(document, dict):
        entries = document.get("models" if kind.id == "gemini" else "data")
        if entries is None and document.get("object") == "list":
            entries = []  # Ollama's, while it has no model
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _Wrong("It is not an LLM server: its answer is no list of models.")
    if not kind.lists_models:
        return []
    names = (entry.get("id", entry.get("name")) for entry in entries)
    usable = (name.removeprefix("models/") for name in names if isinstance(name, str))
    return list(dict.fromkeys(name for name in usable if 0 < len(name) <= MAX_NAME and name.isprintable()))[:MAX_MODELS]


def _in_plain_words(failure: Exception) -> str:
    """What kept the connection from being made or kept. Names no more of the address than the user gave."""
    cause = failure.os_error if isinstance(failure, aiohttp.ClientConnectorError) else failure
    if isinstance(cause, BlockedAddress):
        return "Its host leads to a private address, which only the operator can allow (ALLOWED_PRIVATE_HOSTS)."
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        reason = getattr(failure.certificate_error, "verify_message", "") or "it cannot be verified"
        return f"Its TLS certificate is not trusted: {reason}."
    if isinstance(failure, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
        return "It does not speak TLS here; is it http:// instead of https://?"
    if isinstance(cause, socket.gaierror):
        return "There is no host of this name (DNS)."
    if isinstance(cause, ConnectionRefusedError):
        return "The connection was refused: nothing listens at this address."
    if isinstance(failure, aiohttp.ClientConnectorError):
        return "It cannot be reached over the network."
    if isinstance(failure, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return "It is not an LLM server: its answer is not proper HTTP."
    if isinstance(failure, aiohttp.ServerDisconnectedError | ConnectionError):
        return "It closed the connection without an answer; is it https:// instead of http://?"
    return "It cannot be asked at this address."
