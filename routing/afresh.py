"""Asking on the gateway's own account what a client asked: a request of its own, through classify, policy and budgets.

It is the client's key that asks, so its privacy and its budgets hold, and the ledger has it; the rate limits of the key
are its client's, and stay untouched.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import orjson

from analytics import ledger
from gateway_project.lib.errors import ApiError
from routing import health, policy, snapshot, sticky
from routing.classify import classify
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.meter import read_usage
from routing.policies import PolicyFacts
from routing.providers.reach import reach
from routing.settle import settle

logger = logging.getLogger(__name__)


async def ask_afresh(
    like: Exchange, *, body: dict[str, Any] | None = None, marks: dict[str, str]
) -> tuple[str, dict[str, Any]] | None:
    """The answer to what `like` asked, or to `body`, which names its model, and the id of its request.

    `marks` are in its metadata. None where nobody answered, which is in the ledger, too.
    """
    caller = like.caller and snapshot.current.key(like.caller.id)
    if caller is None:
        return None
    asked = dict(like.body if body is None else body)
    for name in ("stream", "stream_options"):
        asked.pop(name, None)
    wishes = replace(like.wishes, cache="off", metadata={**like.wishes.metadata, **marks})
    if body is not None:
        wishes = replace(wishes, complexity="", task="")
    model = like.model if body is None else str(body["model"])
    exchange = Exchange(endpoint=CHAT, caller=caller, model=model, body=asked, wishes=wishes)
    try:
        answer = await answered(exchange, None if body is None else like.policy)
    except ApiError:
        return None
    return exchange.id, answer


async def answered(exchange: Exchange, by: PolicyFacts | None = None) -> dict[str, Any]:
    """The answer to `exchange`, a chat request with its caller, under `by`, or the policy that holds for it.

    It is settled when this returns or raises. Raises `ApiError`.
    """
    exchange.length = len(orjson.dumps(exchange.body))
    try:
        ledger.require_room()
        view = snapshot.current.workspace(exchange.caller.workspace_id if exchange.caller is not None else "")
        exchange.policy = by or policy.chosen(exchange, view)
        exchange.label = classify(CHAT, exchange.body, exchange.wishes, kind=exchange.policy.classifier)
        exchange.decision = policy.decide(exchange, view, health.current, sticky.current)
        reply = await reach(exchange, exchange.decision)
        exchange.status = 200
        read_usage(exchange)
        exchange.whole = reply.body or b""
    except ApiError as error:
        exchange.status, exchange.error_code, exchange.error = error.status, error.code, error.message
        raise
    except asyncio.CancelledError:
        exchange.status, exchange.error_code = 499, "client_closed_request"
        raise
    except BaseException:
        exchange.status, exchange.error_code = 500, "internal_error"
        raise
    finally:
        settle(exchange)
    return exchange.answer
