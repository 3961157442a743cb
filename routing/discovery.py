"""Asks a provider whether it is there, whether it takes the key, which models it has, and what it says of them.

Every kind is asked over plain HTTP, those included whose requests litellm translates, so that asking imports nothing.
What comes back is told in words of ours: an upstream's own words could carry the key.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from gateway_project.lib import bounded_json
from gateway_project.lib.net import BlockedAddress
from keys.kinds import Kind
from keys.probe import ListedModel, ProbeResult
from keys.vault import Secret
from routing import fleet, http1, provider_lists
from routing.fleet import Details
from routing.provider_lists import Entry
from routing.providers import demo
from routing.providers.base import Timeouts

logger = logging.getLogger(__name__)

T = TypeVar("T")
NOTHING: Mapping[str, ListedModel] = MappingProxyType({})

# Of a list of models, whole: OpenRouter's, the longest known, has about 0.6 MB.
MAX_BODY = 4 * 1024 * 1024
# A probe's time is limited as a whole, by its caller.
_UNHURRIED = Timeouts(connect=300, first_byte=300, idle=300, total=300)


class _Wrong(Exception):
    """Why a provider is no use, in plain words."""


class _Refused(_Wrong):
    """It takes not this secret."""


async def probe(
    kind: Kind,
    base_url: str,
    secret: Secret | None,
    seconds: float,
    known: Mapping[str, ListedModel] = NOTHING,
    *,
    local: bool = False,
) -> ProbeResult:
    """Check the health of the server at `base_url` (an API base), list its models and what is said of them, within
    `seconds`. What is `known` of a model already need not be asked again. One that is to be `local` is asked at no
    public address, whatever its name means by now.

    Raises nothing that a server could cause: `ProbeResult.error` says what is wrong.
    """
    started = time.perf_counter()
    names: tuple[str, ...] = ()
    details = Details()
    error, refused = "", False
    try:
        async with contextlib.aclosing(_Asking(kind, secret, local=local)) as asking:
            async with asyncio.timeout(seconds):
                entries = await _list(kind, base_url, asking)
            names, details = tuple(entries), fleet.from_list(kind, entries)
            with _unimportant(kind):
                async with asyncio.timeout(started + seconds - time.perf_counter()):
                    await fleet.look(kind, base_url, asking, names, known, details)
    except _Wrong as wrong:
        error, refused = str(wrong), isinstance(wrong, _Refused)
    except TimeoutError:
        error = f"It did not answer within {seconds:g} seconds."
    except (http1.HttpError, OSError, ValueError) as failure:
        error = _in_plain_words(failure)
    milliseconds = round((time.perf_counter() - started) * 1000)
    return ProbeResult(not error, milliseconds, names, error, details.loaded, details.listed, refused)


def probe_now(kind: Kind, base_url: str, secret: Secret | None, seconds: float, local: bool = False) -> ProbeResult:
    """`probe` for synchronous callers."""
    return run(probe(kind, base_url, secret, seconds, local=local))


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


async def _list(kind: Kind, base_url: str, asking: "_Asking") -> dict[str, Entry]:
    """The entries of the provider's list, by the names that requests use."""
    if kind.wire == "demo":
        return {demo.MODEL: {}}
    models_url, health_url = kind.models_url(base_url), kind.health_url(base_url)
    if health_url and health_url != models_url:
        status, _ = await asking.get(health_url)
        if status >= 500:
            raise _Wrong(f"It is up but not ready: its health check answered {status}.")
        # Any other status is left to the list of models: servers behind a proxy often show only /v1.
    status, body = await asking.get(models_url)
    _check_status(kind, status, body, keyed=asking.secret is not None)
    entries = provider_lists.by_name(_entries(kind, body)) if kind.lists_models else {}
    return {name: entry for name, entry in entries.items() if not _carries(name, asking.secret)}


@contextlib.contextmanager
def _unimportant(kind: Kind) -> Iterator[None]:
    """A server that has listed its models is well, whether or not it says more of them."""
    try:
        yield
    except (_Wrong, http1.HttpError, OSError, ValueError) as failure:  # a TimeoutError is an OSError
        logger.info("a server of the kind %s told no more of its models: %s", kind.id, type(failure).__name__)


def _carries(name: str, secret: Secret | None) -> bool:
    """A hostile server could send the key back as a model's name. (A key such as "x" is none to protect.)"""
    return secret is not None and len(secret.reveal()) >= 8 and secret.reveal() in name


class _Asking:
    """The requests of one probe, with the same headers, on connections of its own."""

    def __init__(self, kind: Kind, secret: Secret | None, *, local: bool) -> None:
        self.secret = secret
        self.headers = {
            "Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "llm-gateway",
            **dict(kind.models_headers), **(kind.auth_headers(secret.reveal()) if secret else {}),
        }  # fmt: skip
        self.pool = http1.Pool(local=local)

    async def get(self, url: str) -> tuple[int, bytes]:
        """The status and the body."""
        return await self._ask("GET", url, None)

    async def post(self, url: str, body: bytes) -> tuple[int, bytes]:
        """The status and the body of what answers `body`, which is JSON."""
        return await self._ask("POST", url, body)

    async def _ask(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
        """A redirect is not followed: it could lead anywhere, with the key."""
        headers = self.headers if body is None else {**self.headers, "Content-Type": "application/json"}
        request = http1.Request.prepare(method, url, headers)
        with contextlib.closing(await self.pool.send(request, body, _UNHURRIED)) as response:
            if response.status in (301, 302, 303, 307, 308):
                raise _Wrong(
                    f"It redirects ({response.status}), and redirects are not followed; give the final address."
                )
            answer = bytearray()
            while part := await response.read():
                answer += part
                if len(answer) > MAX_BODY:
                    raise _Wrong("It is not an LLM server: its answer is larger than 4 MB.")
            return response.status, bytes(answer)

    async def aclose(self) -> None:
        await self.pool.close()


def _check_status(kind: Kind, status: int, body: bytes, *, keyed: bool) -> None:
    if status == 200:
        return
    # Gemini refuses a key with 400.
    if status in (401, 403) or (status == 400 and b"API_KEY_INVALID" in body):
        if keyed:
            raise _Refused(f"The key was refused ({status}).")
        raise _Wrong(f"It asks for a key ({status}).")
    if status == 404:
        raise _Wrong(
            f"It has no list of models ({kind.models_path.partition('?')[0]} answered 404); check the base_url."
        )
    if status == 429:
        raise _Wrong("It is there, but its rate limit is used up (429).")
    if status >= 500:
        raise _Wrong(f"It failed ({status}).")
    raise _Wrong(f"It is not an LLM server: listing its models answered {status}.")


def _entries(kind: Kind, body: bytes) -> list[Any]:
    """What a list of models lists: OpenAI's `{data: [{id}]}`, Together's bare list, Gemini's `{models: [{name}]}`."""
    try:
        document: Any = bounded_json.loads(body)
    except ValueError:
        what = "a web page" if body.lstrip()[:1] == b"<" else "no JSON"
        raise _Wrong(f"It is not an LLM server: it answered with {what}.") from None
    entries = document if isinstance(document, list) else None
    if isinstance(document, dict):
        entries = document.get("models" if kind.id == "gemini" else "data")
        if entries is None and document.get("object") == "list":
            entries = []  # Ollama's, while it has no model
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _Wrong("It is not an LLM server: its answer is no list of models.")
    return entries


def _in_plain_words(failure: Exception) -> str:
    """What kept the connection from being made or kept. Names no more of the address than the user gave."""
    if isinstance(failure, http1.ConnectFailed):
        return unreachable(failure.cause, tls=failure.tls)
    if isinstance(failure, http1.NotHttp):
        return "It is not an LLM server: its answer is not proper HTTP."
    if isinstance(failure, http1.Dropped):
        return "It closed the connection without an answer; is it https:// instead of http://?"
    return "It cannot be asked at this address."


def unreachable(cause: OSError, *, tls: bool) -> str:
    if isinstance(cause, BlockedAddress) and cause.public:
        return "Its host leads to a public address, and it is to be local."
    if isinstance(cause, BlockedAddress):
        return "Its host leads to a private address, which only the operator can allow (ALLOWED_PRIVATE_HOSTS)."
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"Its TLS certificate is not trusted: {cause.verify_message or 'it cannot be verified'}."
    if tls:
        return "It does not speak TLS here; is it http:// instead of https://?"
    if isinstance(cause, socket.gaierror):
        return "There is no host of this name (DNS)."
    if isinstance(cause, ConnectionRefusedError):
        return "The connection was refused: nothing listens at this address."
    return "It cannot be reached over the network."
