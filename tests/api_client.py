"""The JSON API, as a client that holds a bearer token sees it: Django's whole stack, without a socket."""

import json
from typing import Any

from django.test import Client

from accounts import tokens
from accounts.access import Caller

PASSWORD = "Correct-Horse-7-Battery"


class ApiAnswer:
    """A status with its JSON; `error` is the error object of the contract."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers = response.headers
        self.text: str = response.content.decode()
        self.json: Any = json.loads(response.content) if response.content else None

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error

    def __repr__(self) -> str:
        return f"<{self.status} {self.text}>"


class ApiClient:
    """`client.post("/api/keys/gateway", name="ci")`; `body=` sends bytes or any value as the body instead."""

    def __init__(self, token: str = "", workspace: str = "", **headers: str) -> None:
        self.http = Client()
        self.headers = dict(headers)
        if token:
            self.headers["authorization"] = f"Bearer {token}"
        if workspace:
            self.headers["x-workspace-id"] = workspace

    @classmethod
    def of(cls, caller: Caller) -> "ApiClient":
        """A fresh login of `caller`, in that workspace."""
        return cls(tokens.start_session(caller.user).access, str(caller.workspace.pk))

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> ApiAnswer:
        """`body`: bytes as they are, anything else as JSON, None for no body."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return ApiAnswer(
            self.http.generic(
                method, path, content, content_type="application/json", headers={**self.headers, **headers}
            )
        )

    def get(self, path: str, **query: Any) -> ApiAnswer:
        return ApiAnswer(self.http.get(path, query, headers=self.headers))

    def post(self, path: str, body: Any = None, **fields: Any) -> ApiAnswer:
        return self.request("POST", path, fields if body is None else body)

    def patch(self, path: str, body: Any = None, **fields: Any) -> ApiAnswer:
        return self.request("PATCH", path, fields if body is None else body)

    def delete(self, path: str) -> ApiAnswer:
        return self.request("DELETE", path)
