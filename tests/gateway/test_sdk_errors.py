"""Errors reach the SDK's own exception classes, with the contract's code."""

import openai
import pytest

from tests.gateway.conftest import MakeScene
from tests.gateway.process import Process
from tests.gateway.scene import MESSAGES, Scene


def ask(scene: Scene, **fields: object) -> None:
    scene.sdk.chat.completions.create(**{"model": scene.model, "messages": MESSAGES, **fields})


def test_no_such_model(scene: Scene) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(scene, model="no-such-model")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_no_such_key(gateway: Process) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="gw_wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_a_bad_request(scene: Scene) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(scene, messages=[])
    assert (caught.value.code, caught.value.param) == ("invalid_request_error", "messages")


def test_privacy_forbids(make_scene: MakeScene) -> None:
    scene = make_scene(kind="openai")
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(scene, extra_body={"privacy_mode": "strict"})
    assert caught.value.code == "permission_denied"


def test_the_upstream_is_out_of_quota(scene: Scene) -> None:
    scene.behave({"status": 429})
    with pytest.raises(openai.RateLimitError) as caught:
        ask(scene)
    assert caught.value.code == "upstream_rate_limited"


@pytest.mark.parametrize("stream", [False, True])
def test_the_upstream_is_broken(scene: Scene, stream: bool) -> None:
    scene.behave({"status": 500})
    with pytest.raises(openai.InternalServerError) as caught:
        ask(scene, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (503, "no_available_model")


def test_a_stream_that_breaks_off_raises(scene: Scene) -> None:
    scene.behave({"drop": "after_chunks", "drop_after": 2, "interval": 0.05})
    stream = scene.sdk.chat.completions.create(model=scene.model, messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)
