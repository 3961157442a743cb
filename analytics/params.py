"""The query parameters of the analytics API: which requests are summed or listed."""

import re
from typing import Any, Literal
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from ninja import Field, Schema
from pydantic import ValidationInfo, model_validator

from analytics.period import DEFAULT_DAYS, MAX_DAYS, Period, period
from analytics.queries import FAILED, Filters
from gateway_project.lib.errors import InvalidRequest
from gateway_project.lib.moments import span
from gateway_project.lib.pagination import PageQuery

GroupBy = Literal["model", "provider", "key", "policy", "user", "day"]

# What one answer of requests.csv holds at most.
MAX_EXPORT = 100_000

_CLASS = re.compile(r"[1-5]xx")
_CODE = re.compile(r"[1-5]\d\d")


class Strict(Schema):
    """Query parameters of which none is ignored: a filter that is misspelt would show the wrong numbers.

    An empty one is as good as none.
    """

    @model_validator(mode="before")
    @classmethod
    def _no_others(cls, data: Any, info: ValidationInfo) -> Any:
        query = info.context["request"].GET if info.context else data
        known = {field.alias or name for name, field in cls.model_fields.items()}
        for name in query:
            if name not in known:
                raise InvalidRequest(f"{name}: is no parameter here; known are {', '.join(sorted(known))}.", param=name)
            if isinstance(query[name], str) and "\0" in query[name]:
                raise InvalidRequest(f"{name}: must hold no NUL.", param=name)
        return {name: query[name] for name in query if query[name] != ""}


class SumsQuery(Strict):
    """Which requests are summed."""

    since: str = Field(
        "", max_length=60, alias="from",
        description=f"RFC 3339 time or date, included. By default {DEFAULT_DAYS} days up to `to`; at most {MAX_DAYS}.",
    )  # fmt: skip
    until: str = Field("", max_length=60, alias="to", description="RFC 3339 time or date, not included. Default: now.")
    model: str = Field("", max_length=300, description="The model that was asked upstream, exactly.")
    provider: str = Field("", max_length=60, description="The provider's name.")
    key: UUID | None = Field(None, description="A gateway key's id.")
    user: UUID | None = Field(None, description="The id of the member who made the key.")
    policy: str = Field("", max_length=120, description="The name of the policy that ruled.")
    privacy: Literal["", "local", "cloud"] = Field("", description="Where the answer was made.")
    cache: Literal["", "miss", "hit", "semantic", "off"] = Field("", description="What the cache had.")
    complexity: Literal["", "simple", "moderate", "complex", "expert"] = Field("", description="What was classified.")

    def period(self) -> Period:
        """Raises InvalidRequest naming `from` or `to`."""
        return period(*span(self.since, self.until), timezone.now())

    def filters(self) -> Filters:
        """Without the period, which sums need apart."""
        return Filters(
            model=self.model, provider=self.provider, key=self.key, user=self.user, policy=self.policy,
            privacy=self.privacy, cache=self.cache, complexity=self.complexity,
        )  # fmt: skip


class PagedSumsQuery(SumsQuery, PageQuery):
    """The same for lists of groups."""


class BreakdownQuery(PagedSumsQuery):
    """The same, and what makes a group."""

    group_by: GroupBy = Field("model", description="What the groups are.")


class RequestsQuery(SumsQuery, PageQuery):
    """The filters of the list of requests."""

    since: str = Field("", max_length=60, alias="from", description="RFC 3339 time or date, included.")
    until: str = Field("", max_length=60, alias="to", description="RFC 3339 time or date, not included.")
    status: str = Field("", max_length=10, description="A status (404), a class (4xx), or `error` for 400 and more.")
    stream: bool | None = Field(None, description="Whether the answer was streamed.")
    q: str = Field("", max_length=200, description="A request's id, or the one its client sent as x-request-id.")

    def filters(self) -> Filters:
        """With the period, of any length. Raises InvalidRequest naming the parameter that makes no sense."""
        since, until = span(self.since, self.until)
        return Filters(
            model=self.model, provider=self.provider, key=self.key, user=self.user, policy=self.policy,
            privacy=self.privacy, cache=self.cache, complexity=self.complexity,
            status=_status(self.status), stream=self.stream, since=since, until=until, id=self.q,
        )  # fmt: skip


class ExportQuery(RequestsQuery):
    """The same for the table of requests."""

    limit: int = Field(MAX_EXPORT, ge=1, le=MAX_EXPORT, description="How many rows at most.")


def _status(text: str) -> Q | None:
    if not text:
        return None
    if text == "error":
        return FAILED
    if _CLASS.fullmatch(text):
        return Q(status__gte=int(text[0]) * 100, status__lt=int(text[0]) * 100 + 100)
    if _CODE.fullmatch(text):
        return Q(status=int(text))
    raise InvalidRequest("status: must be a status such as 404, a class such as 4xx, or error.", param="status")
