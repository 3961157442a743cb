"""A person with a workspace, who uses nothing but the public API."""

import itertools
import time
from typing import Any

import httpx

_numbers = itertools.count(1)


class Account:
    """A fresh sign-up at the gateway at `url`."""

    def __init__(self, url: str, name: str = "stranger") -> None:
        self.http = httpx.Client(base_url=url, timeout=20, trust_env=False)
        self.email = f"{name}-{next(_numbers)}-{time.time_ns()}@example.com"
        self.password = "Correct-Horse-7-Battery"
        answer = self.http.post("/api/auth/signup", json={"email": self.email, "password": self.password, "name": name})
        assert answer.status_code == 201, answer.text
        self.workspace = answer.json()["workspace"]
        self.http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, expect: int, **fields: Any) -> Any:
        """The JSON answer of `method path`, whose status must be `expect`; None for 204."""
        answer = self.http.request(method, path, json=fields or None)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def add_provider(self, **fields: Any) -> dict[str, Any]:
        provider: dict[str, Any] = self.call("POST", "/api/keys/providers", 201, **fields)
        return provider

    def change_provider(self, provider: dict[str, Any], **fields: Any) -> None:
        self.call("PATCH", f"/api/keys/providers/{provider['id']}", 200, **fields)

    def create_key(self, **fields: Any) -> dict[str, Any]:
        key: dict[str, Any] = self.call("POST", "/api/keys/gateway", 201, **{"name": "test", **fields})
        return key

    def requests(self, **query: Any) -> list[dict[str, Any]]:
        """The ledger's newest rows."""
        answer = self.http.get("/api/analytics/requests", params=query)
        assert answer.status_code == 200, answer.text
        data: list[dict[str, Any]] = answer.json()["data"]
        return data

    def record(self, request_id: str, *, within: float = 8) -> dict[str, Any]:
        """The ledger's whole record of a request, as soon as it is there."""
        end = time.monotonic() + within
        while True:
            answer = self.http.get(f"/api/analytics/requests/{request_id}")
            if answer.status_code == 200:
                record: dict[str, Any] = answer.json()
                return record
            assert answer.status_code == 404, answer.text
            assert time.monotonic() < end, f"the ledger has no record {request_id} after {within} s"
            time.sleep(0.05)
