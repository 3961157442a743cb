"""Who may read the metrics, and what they say."""

from typing import Any

import pytest
from django.test import Client

from accounts.access import Caller
from analytics import metrics

pytestmark = pytest.mark.django_db

NAMES = (
    "gateway_requests_total", "gateway_latency_seconds", "gateway_cost_usd_total", "gateway_cache_hits_total",
    "gateway_cache_misses_total", "gateway_provider_errors_total",
)  # fmt: skip


def test_this_machine_reads_the_six_metrics() -> None:
    answer = Client(REMOTE_ADDR="127.0.0.1").get("/metrics")
    assert answer.status_code == 200
    for name in NAMES:
        assert f"# HELP {name}" in answer.text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_a_proxy_on_this_machine_does_not_open_them(header: str) -> None:
    assert Client(REMOTE_ADDR="127.0.0.1").get("/metrics", headers={header: "192.0.2.7"}).status_code == 401


def test_elsewhere_staff_and_the_token_read_them_and_nobody_else(
    owner: Caller, stranger: Caller, settings: Any
) -> None:
    afar = Client(REMOTE_ADDR="192.0.2.7")
    assert afar.get("/metrics").status_code == 401

    settings.METRICS_TOKEN = "scrape-me"
    assert afar.get("/metrics", headers={"Authorization": "Bearer scrape-me"}).status_code == 200
    assert afar.get("/metrics", headers={"Authorization": "Bearer scrape-m"}).status_code == 401

    afar.force_login(stranger.user)
    assert afar.get("/metrics").status_code == 401
    afar.force_login(owner.user)  # the first user, and so staff
    assert afar.get("/metrics").status_code == 200


def test_it_is_read_and_not_written() -> None:
    assert Client(REMOTE_ADDR="127.0.0.1").post("/metrics").status_code == 405


def test_a_model_that_no_price_map_knows_is_no_label() -> None:
    metrics.request(
        endpoint="/v1/completions", kind="vllm", model="invented-by-a-client", known_model=False, status=200,
        seconds=0.2, cost=0.0,
    )  # fmt: skip
    text = Client(REMOTE_ADDR="127.0.0.1").get("/metrics").text
    assert 'endpoint="/v1/completions",kind="vllm",model="other",status="200"' in text
    assert "invented-by-a-client" not in text
