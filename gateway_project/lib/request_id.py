"""The id of the request that is being served; every line logged meanwhile carries it."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
