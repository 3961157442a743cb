"""A provider's secret goes to the provider and to nobody else."""

import json
import logging
import pickle
import traceback
from typing import Any

import pytest
from aiohttp import web
from django.core import serializers
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import Caller
from gateway_project.lib.schemas import parse
from keys import queries, services
from keys.models import GatewayKey, KeySecret, Provider
from keys.schemas import NewProvider
from tests.api_client import ApiClient
from tests.keys.server import Server

SECRET = "sk-must-not-leak-0123456789abcdef"
SECOND = "sk-nor-may-this-fedcba9876543210"
PATH = "/api/keys/providers"


def echo(request: web.Request, status: int) -> web.Response:
    """What a careless upstream does: it repeats the key in its error, everywhere it can."""
    key = request.headers.get("authorization", "")
    body = {"error": {"message": f"Incorrect API key provided: {key}"}, "data": [{"id": key}]}
    return web.json_response(body, status=status, headers={"x-your-key": key, "location": f"/{key.split()[-1]}"})


def test_no_answer_log_task_or_repr_carries_a_secret(
    api: ApiClient, owner: Caller, server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def call(method: str, path: str, **fields: Any) -> Any:
        answer = api.request(method, path, fields or None)
        seen.extend([answer.text, str(answer.headers)])
        return answer.json

    caplog.set_level(logging.DEBUG)
    with CaptureQueriesContext(connection) as sent_to_database:
        for status in (200, 401, 403, 302, 500):

            async def careless(request: web.Request, status: int = status) -> web.Response:
                return echo(request, status)

            server.answers["/v1/models"] = careless
            made = call("POST", PATH, kind="vllm", name=f"box-{status}", base_url=server.url, api_key=SECRET)
            call("POST", f"{PATH}/{made['id']}/test")
            call("PATCH", f"{PATH}/{made['id']}", api_key=SECOND)
            call("PATCH", f"{PATH}/{made['id']}", base_url="http://127.0.0.1:1")
            call("PATCH", f"{PATH}/{made['id']}", name="auto")
        call("GET", PATH)
        call("POST", PATH, kind="vllm", name="bad", base_url="http://10.0.0.1", api_key=SECRET)
        call("POST", PATH, kind="vllm", name=5, base_url=server.url, api_key=SECRET)
    # The upstream was really given the keys, so that there was something to leak.
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {SECRET}", f"Bearer {SECOND}"}

    providers = list(Provider.objects.all())
    facts = list(queries.providers())
    seen += [repr(providers), repr([vars(row) for row in providers]), repr(facts), str(facts)]
    seen += [serializers.serialize("json", providers), json.dumps([repr(fact) for fact in facts])]
    seen += [str(query) for query in sent_to_database.captured_queries]
    seen += [record.getMessage() + repr(vars(record)) for record in caplog.records]
    seen += list(capfd.readouterr())
    leaks = [text for text in seen if SECRET in text or SECOND in text]
    assert not leaks


def test_facts_cannot_be_a_tasks_argument(owner: Caller, provider: Provider) -> None:
    [facts] = queries.providers()
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(facts)
    with pytest.raises(TypeError):
        json.dumps(facts.secret)


def test_a_gateway_key_is_nowhere_but_in_the_answer_that_made_it(
    api: ApiClient, owner: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with CaptureQueriesContext(connection) as sent_to_database:
        made = api.post("/api/keys/gateway", name="ci").json
        rotated = api.post(f"/api/keys/gateway/{made['id']}/rotate", overlap_seconds=60).json
        listed = api.get("/api/keys/gateway").text
        api.delete(f"/api/keys/gateway/{made['id']}")
    seen = [listed, caplog.text, *map(str, sent_to_database.captured_queries)]
    seen += [str(list(model.objects.values())) for model in (GatewayKey, KeySecret)]
    assert not [text for text in seen if made["key"] in text or rotated["key"] in text]


def test_an_error_on_the_way_shows_no_secret_in_its_traceback(
    owner: Caller, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an error reporter would: with the locals of every frame, down to the one that failed."""
    fields = parse(NewProvider, {"kind": "vllm", "name": "box", "base_url": server.url, "api_key": SECRET})
    assert SECRET not in repr(fields)

    def fail(*args: object, **fields: object) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr("keys.services.providers.record_probe", fail)
    with pytest.raises(RuntimeError) as failure:
        services.create_provider(owner, fields)
    error = failure.value
    whole = traceback.TracebackException(RuntimeError, error, error.__traceback__, capture_locals=True)
    assert SECRET not in "".join(whole.format())
