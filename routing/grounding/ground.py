"""Looks up what a request is to be answered with, and puts it before the question."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from django.db import connection

from gateway_project.lib.errors import ApiError, InvalidRequest, PermissionDenied
from rag import retrieve
from routing.endpoints import CHAT
from routing.exchange import Exchange
from routing.grounding import sources
from routing.grounding.room import room_for, taken
from routing.grounding.sources import Grounding, Source
from routing.grounding.wish import RagWish
from routing.snapshot import WorkspaceTargets

SCOPE = "documents:read"
# Characters of a conversation that are looked for: the end of the question, and what it follows where that is short.
QUERY, SHORT = 2_000, 40

# A search waits for the database and for the worker; requests without `rag` never come here.
_threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="grounding")


def is_wanted(exchange: Exchange) -> bool:
    """Whether a library is to be searched for it: the request says so, or the policy in force."""
    return exchange.wishes.rag is not None or (exchange.policy.rag is not None and exchange.endpoint.path == CHAT.path)


async def grounded(exchange: Exchange, view: WorkspaceTargets) -> Grounding:
    """Search the library, and put what was found into the request, as far as there is room.

    Raises `PermissionDenied` for a key without the scope, `NotFound` for a library that is not there, `InvalidRequest`
    for what cannot be searched or leaves no room for passages.
    """
    caller = exchange.caller
    assert caller is not None  # noqa: S101  (it was identified)
    wish, index = _asked(exchange)
    query = _query(exchange.body["messages"], index)
    found = await asyncio.get_running_loop().run_in_executor(_threads, _apart, caller.workspace_id, wish, query)
    return _put(exchange, view, wish, index, found)


def grounded_here(exchange: Exchange, view: WorkspaceTargets, workspace_id: str) -> Grounding:
    """The same in this thread, for who asks what a request would do. `exchange` need not have a caller."""
    wish, index = _asked(exchange)
    return _put(exchange, view, wish, index, _searched(workspace_id, wish, _query(exchange.body["messages"], index)))


def _asked(exchange: Exchange) -> tuple[RagWish, int]:
    """What is to be searched, and the place of the message that says for what. Raises as `grounded` does."""
    caller, wish = exchange.caller, exchange.wishes.rag or exchange.policy.rag
    assert wish is not None  # noqa: S101  (`is_wanted`)
    if caller is not None and SCOPE not in caller.scopes:
        raise PermissionDenied(f"This gateway key may not read documents: it lacks the scope '{SCOPE}'.", param="rag")
    if exchange.endpoint.path != CHAT.path:
        raise InvalidRequest("rag: only chat completions can be answered from documents.", param="rag")
    return wish, _question(exchange.body["messages"])


def _put(exchange: Exchange, view: WorkspaceTargets, wish: RagWish, index: int, found: retrieve.Found) -> Grounding:
    """What was found, as far as there is room, before the question. Raises `InvalidRequest` where there is none."""
    fitting = _fitting(found, room_for(exchange, view))
    if found.results and not fitting:
        raise InvalidRequest(
            "The request leaves no room for passages of documents in the model's context window.", param="messages"
        )
    exchange.body = {**exchange.body, "messages": _with(exchange.body["messages"], index, sources.prompt(fitting))}
    return Grounding(wish.library, fitting, found.strict, found.mode, found.note)


def _apart(workspace_id: str, wish: RagWish, query: str) -> retrieve.Found:
    try:
        return _searched(workspace_id, wish, query)
    finally:
        connection.close()  # this thread's, back to the pool


def _searched(workspace_id: str, wish: RagWish, query: str) -> retrieve.Found:
    try:
        asked = retrieve.Query(query, libraries=[wish.library], top_k=wish.top_k, filters=wish.filters or None)
        return retrieve.search(UUID(workspace_id), asked)
    except ApiError as error:
        if error.param and error.param != "query":
            error.param = f"rag.{error.param}"
        raise


def _question(messages: list[dict[str, Any]]) -> int:
    """The place of the last message of the user that says something. Raises `InvalidRequest` where there is none."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index]["role"] == "user" and _text(messages[index]).strip():
            return index
    raise InvalidRequest("rag: there is no message of the user to search the documents for.", param="messages")


def _query(messages: list[dict[str, Any]], index: int) -> str:
    """What is looked for: the question, and the one before where this one is too short to stand alone."""
    asked = _text(messages[index]).strip()
    if len(asked) < SHORT:
        before = [_text(message).strip() for message in messages[:index] if message["role"] == "user"]
        asked = "\n".join([*before[-1:], asked])
    return asked[-QUERY:]


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    parts = content if type(content) is list else [{"type": "text", "text": content}]
    texts = (part.get("text") for part in parts if type(part) is dict and part.get("type") == "text")
    return "\n".join(text for text in texts if type(text) is str)


def _with(messages: list[dict[str, Any]], index: int, prompt: str) -> list[dict[str, Any]]:
    """The messages with `prompt` before the question, in the same message: not every model takes two in a row."""
    message = messages[index]
    content = message["content"]
    asked = [{"type": "text", "text": prompt}, *content] if type(content) is list else f"{prompt}{content}"
    return [*messages[:index], {**message, "content": asked}, *messages[index + 1 :]]


def _fitting(found: retrieve.Found, room: int) -> tuple[Source, ...]:
    """The best passages that there is room for, numbered in their order. One that is too long stops no other."""
    chosen: list[Source] = []
    for result in found.results:
        tokens = taken(result.content)
        if tokens > room:
            continue
        room -= tokens
        chosen.append(
            Source(
                number=len(chosen) + 1,
                document_id=str(result.document_id),
                title=result.title,
                source=result.source,
                library=result.library,
                chunk_id=str(result.chunk_id),
                page=result.page,
                start=result.start,
                end=result.end,
                score=result.score,
                content=result.content,
            )
        )
    return tuple(chosen)
