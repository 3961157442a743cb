"""The one error shape of every JSON endpoint: `{"error": {message, type, code, param}}`."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer that is an error. `message` is shown to the caller and holds no secret.

    `param` names the field or header that was wrong; `headers` go out with the answer; `details` are
    further members of the error object (the attempts of a 503, say).
    """

    status: int = 500
    code: str = "internal_error"
    type: str = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        self.details = dict(details or {})

    def body(self) -> dict[str, Any]:
        """The JSON object to answer with."""
        fields = {"message": self.message, "type": self.type, "code": self.code, "param": self.param}
        return {"error": {**fields, **self.details}}


class InvalidRequest(ApiError):
    status, code, type = 400, "invalid_request_error", "invalid_request_error"


class InvalidApiKey(ApiError):
    status, code, type = 401, "invalid_api_key", "invalid_request_error"


class NotAuthenticated(ApiError):
    status, code, type = 401, "invalid_api_key", "invalid_request_error"


class BudgetExceeded(ApiError):
    status, code, type = 402, "budget_exceeded", "insufficient_quota"


class PermissionDenied(ApiError):
    status, code, type = 403, "permission_denied", "invalid_request_error"


class NotFound(ApiError):
    status, code, type = 404, "not_found", "invalid_request_error"


class ModelNotFound(ApiError):
    status, code, type = 404, "model_not_found", "invalid_request_error"


class MethodNotAllowed(ApiError):
    status, code, type = 405, "method_not_allowed", "invalid_request_error"


class Conflict(ApiError):
    status, code, type = 409, "conflict", "invalid_request_error"


class RequestTooLarge(ApiError):
    status, code, type = 413, "request_too_large", "invalid_request_error"


class RateLimitExceeded(ApiError):
    status, code, type = 429, "rate_limit_exceeded", "rate_limit_error"


class UpstreamRateLimited(ApiError):
    status, code, type = 429, "upstream_rate_limited", "rate_limit_error"


class InternalError(ApiError):
    pass


class UnsupportedByBackend(ApiError):
    status, code = 501, "unsupported_by_backend"


class ServiceUnavailable(ApiError):
    status, code = 503, "service_unavailable"


class LedgerUnavailable(ApiError):
    status, code = 503, "ledger_unavailable"


class NoAvailableModel(ApiError):
    status, code = 503, "no_available_model"


class UpstreamTimeout(ApiError):
    status, code = 504, "upstream_timeout"
