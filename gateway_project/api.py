"""Every JSON endpoint in one OpenAPI document, and the one place that turns exceptions into answers."""

import logging
from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError, ValidationErrorContext
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from accounts.api import router as accounts_router
from accounts.audit_api import router as audit_router
from accounts.events_api import router as events_router
from analytics.api import router as analytics_router
from gateway_project.lib.errors import (
    ApiError,
    InternalError,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    RequestTooLarge,
)
from gateway_project.lib.schemas import invalid, worded
from gateway_project.lib.wire import WireRequest
from gateway_project.openapi import document
from keys.api import router as keys_router
from keys.webhooks.api import router as webhooks_router
from rag.api import router as libraries_router
from routing.api import router as gateway_router
from routing.cache_api import router as cache_router
from routing.documents.api import router as documents_router
from routing.embeddings.api import router as embeddings_router
from routing.pages.serving import router as pages_router
from routing.policy_api import router as routing_router

logger = logging.getLogger(__name__)


DESCRIPTION = """
`/v1` speaks OpenAI's API: give any OpenAI client this gateway's `/v1` as its base URL and a **gateway key** (`gw_…`) as
its API key. The key goes out as `Authorization: Bearer gw_…`. Members make keys in the console, or with
`POST /api/keys/gateway`.

`/api` manages a workspace: its keys, providers, members and records. It takes an **access token**, which
`POST /api/auth/login` hands out, as `Authorization: Bearer …`; on these pages the console's session will do.
""".strip()
TAGS = [
    {"name": "Gateway", "description": "Call models. Takes a gateway key."},
    {"name": "Embeddings", "description": "Vectors of texts, pictures and sounds. Takes a gateway key."},
    {"name": "Documents", "description": "Ingest documents and search in them. Takes a gateway key."},
    {"name": "Accounts", "description": "Users, tokens, workspaces and members; events, webhooks and the audit trail."},
    {"name": "Keys", "description": "Gateway keys and providers. Takes an access token."},
    {"name": "Libraries", "description": "Libraries and their documents. Takes an access token."},
    {"name": "Routing", "description": "Policies, models, and what a request would do. Takes an access token."},
    {"name": "Analytics", "description": "Requests, and sums over them. Takes an access token."},
]


class JsonRenderer(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return orjson.dumps(data, default=str)


class JsonParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"The body is not valid JSON: {error}", param="body") from None
        if type(body) is not dict:
            raise InvalidRequest("The body must be a JSON object.", param="body")
        return body


class GatewayAPI(NinjaAPI):
    """django-ninja makes a response ahead of each call, for views to set headers on; `/v1` has no use for it."""

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        if isinstance(request, WireRequest):
            return UNUSED
        return super().create_temporal_response(request)

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        """The first thing that is wrong, in our words, which take its model; `loc` is the path in body or query."""
        context = error_contexts[0]
        [first, *_] = context.pydantic_validation_error.errors(include_url=False, include_input=False)
        message = worded(context.model, first["loc"], first)
        [told, *_] = super().validation_error_from_error_contexts(error_contexts).errors
        # ("body", <parameter name>, field, …) for a body, ("query", field) for a query.
        path = told["loc"][1:]
        path = path[path[:1] in (("payload",), ("filters",)) :]
        if not path and first["type"] == "missing":
            path, message = ("body",), "must be a JSON object, and is missing."
        return ValidationError([{**told, "loc": path, "msg": message}])

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """`/v1` finds out who calls by itself, so django-ninja does not know of gateway keys."""
        schema = super().get_openapi_schema(**options)
        # A page of the reference shows the tags in this order, the ones that it names first.
        schema["tags"] = TAGS
        schema["components"].setdefault("securitySchemes", {})["GatewayKey"] = {"type": "http", "scheme": "bearer"}
        document(schema)
        return schema


UNUSED = HttpResponse()

api = GatewayAPI(
    title="LLM Gateway",
    description=DESCRIPTION,
    version="1",
    docs_url=None,
    openapi_url="/openapi.json",
    renderer=JsonRenderer(),
    parser=JsonParser(),
    urls_namespace="api",
)


def error_response(error: ApiError) -> HttpResponse:
    """`error` in the contract's shape, with its headers."""
    return HttpResponse(
        orjson.dumps(error.body()), status=error.status, content_type="application/json", headers=error.headers
    )


@api.exception_handler(ApiError)
def on_api_error(request: HttpRequest, error: ApiError) -> HttpResponse:
    return error_response(error)


@api.exception_handler(ValidationError)
def on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    return error_response(invalid(first["loc"], first["msg"]))


@api.exception_handler(AuthenticationError)
def on_not_authenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return error_response(NotAuthenticated("Send an access token as 'Authorization: Bearer …', or log in."))


@api.exception_handler(Http404)
def on_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return error_response(NotFound(str(error) or "There is no such object."))


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error.__cause__, ApiError):  # the parser's: django-ninja hides what it said
        return error_response(error.__cause__)
    return error_response(InvalidRequest(error.message) if error.status_code < 500 else InternalError(error.message))


@api.exception_handler(RequestDataTooBig)
def on_too_much_data(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return error_response(RequestTooLarge(f"The body may be {most} bytes long.", param="body"))


@api.exception_handler(Exception)
def on_defect(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("unhandled error on %s", request.path, exc_info=error)
    return error_response(InternalError("The gateway failed on this request; the error was logged."))


api.add_router("/api", accounts_router)
api.add_router("/api/audit", audit_router)
api.add_router("/api/events", events_router)
api.add_router("/api/keys", keys_router)
api.add_router("/api/webhooks", webhooks_router)
api.add_router("/api/libraries", libraries_router)
api.add_router("/api/routing", routing_router)
api.add_router("/api/routing", cache_router)
api.add_router("/api/analytics", analytics_router)
api.add_router("", gateway_router)
api.add_router("", embeddings_router)
api.add_router("", documents_router)
api.add_router("", pages_router)

patterns = api.urls
