"""Pages of other origins may use the API when the operator lists them, and not otherwise."""

import pytest
from django.test import Client
from pytest_django import Settings

ORIGIN = "https://app.example.com"


def preflight(client: Client, asked: str) -> dict[str, str]:
    headers = {
        "origin": ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": asked,
    }  # fmt: skip
    return dict(client.options("/api/auth/login", headers=headers).headers)


def test_nobody_by_default(client: Client) -> None:
    assert "access-control-allow-origin" not in preflight(client, "authorization")


@pytest.mark.parametrize(
    "header", ["authorization", "content-type", "x-workspace-id", "x-api-key", "idempotency-key", "x-stainless-lang"]
)
def test_a_listed_origin_may_send_what_the_api_reads(client: Client, settings: Settings, header: str) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]

    answer = preflight(client, header)

    assert answer["access-control-allow-origin"] == ORIGIN
    assert header in answer["access-control-allow-headers"].split(", ")
    assert "access-control-allow-credentials" not in answer
