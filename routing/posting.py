"""Posts the messages of webhooks: over the client that connects to no address which the operator does not allow."""

import asyncio
import contextlib
import time
from collections.abc import Mapping

from keys.webhooks.posting import Posted
from routing import http1
from routing.discovery import run, unreachable
from routing.providers.base import Timeouts

# The time is limited as a whole.
_UNHURRIED = Timeouts(connect=300, first_byte=300, idle=300, total=300)
REDIRECTS = (301, 302, 303, 307, 308)


def post_now(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Posted:
    """Post `body` within `seconds`, from synchronous code; of the answer only the status counts."""
    started = time.perf_counter()
    status, error = None, ""
    try:
        status = run(_post(url, headers, body, seconds))
    except TimeoutError:
        error = f"It did not answer within {seconds:g} seconds."
    except http1.ConnectFailed as failure:
        error = unreachable(failure.cause, tls=failure.tls)
    except (http1.HttpError, OSError, ValueError):
        error = "It closed the connection, or what it answered is not HTTP."
    if status in REDIRECTS:
        error = f"It redirects ({status}), and redirects are not followed; give the final address."
    elif status is not None and not 200 <= status < 300:
        error = f"It answered {status}."
    return Posted(status, error, round((time.perf_counter() - started) * 1000))


async def _post(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> int:
    pool = http1.Pool()
    request = http1.Request.prepare("POST", url, {**headers, "Accept-Encoding": "identity"})
    try:
        async with asyncio.timeout(seconds):
            # What else it says is not read: it could go on for ever.
            with contextlib.closing(await pool.send(request, body, _UNHURRIED)) as response:
                return response.status
    finally:
        await pool.close()
