"""What a message may have fetched: an image from a public address, and nothing else."""

import base64
import contextlib
from dataclasses import replace
from typing import Any

import orjson
import pytest
from pytest_django import Settings

from routing.providers.base import Failure, UpstreamError
from tests.routing.litellm.provider import PNG, Provider, every_kind


@every_kind
async def test_an_image_travels_as_a_data_url(provider: Provider) -> None:
    encoded = base64.b64encode(PNG).decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
    ]
    await provider.ask(messages=[{"role": "user", "content": parts}])
    assert encoded in str(provider.requests[0]["body"])


@pytest.fixture
def public(settings: Settings) -> None:
    """For once, this machine counts as one that clients may name."""
    settings.CLIENTS_PRIVATE_HOSTS = ("127.0.0.1",)


@pytest.mark.usefixtures("public")
@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
async def test_an_images_address_is_fetched_where_the_provider_would_not(provider: Provider) -> None:
    provider.upstream.behave(
        "/cat.png", {"body_base64": base64.b64encode(PNG).decode(), "content_type": "image/png"}, scene=provider.scene
    )
    url = provider.upstream.base_url(provider.scene) + "/cat.png"
    await provider.ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert base64.b64encode(PNG).decode() in str(provider.requests[-1]["body"])


@pytest.mark.parametrize("kind", ["gemini"])
async def test_a_private_host_that_providers_may_be_on_is_none_that_clients_may_name(provider: Provider) -> None:
    provider.upstream.behave(
        "/cat.png", {"body_base64": base64.b64encode(PNG).decode(), "content_type": "image/png"}, scene=provider.scene
    )
    with pytest.raises(UpstreamError, match="could not be fetched"):
        await provider.ask(messages=pictures(provider, 1))
    assert provider.requests == []


def pictures(provider: Provider, number: int) -> list[dict[str, Any]]:
    urls = [f"{provider.upstream.base_url(provider.scene)}/{index}.png" for index in range(number)]
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}]


@pytest.mark.parametrize("kind", ["gemini"])
async def test_a_message_of_very_many_addresses_has_none_of_them_fetched(provider: Provider) -> None:
    with pytest.raises(UpstreamError, match="At most 20 images") as caught:
        await provider.ask(messages=pictures(provider, 21))
    assert caught.value.status == 400
    assert provider.requests == []


@pytest.mark.usefixtures("public")
@pytest.mark.parametrize("kind", ["gemini"])
async def test_images_have_a_size_together(provider: Provider) -> None:
    large = base64.b64encode(PNG + bytes(12 * 2**20)).decode()
    for index in range(2):
        provider.upstream.behave(
            f"/{index}.png", {"body_base64": large, "content_type": "image/png"}, scene=provider.scene
        )
    with pytest.raises(UpstreamError, match="bytes together") as caught:
        await provider.ask(messages=pictures(provider, 2))
    assert caught.value.status == 400


@pytest.mark.parametrize("kind", ["gemini"])
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",  # private, and not on the operator's list
        "http://10.0.0.1/cat.png",
        "https://[fd00::1]/cat.png",
        "http://no-such-host.invalid/cat.png",
        "file:///etc/passwd",
        "gs://bucket/cat.png",
        "http://",
    ],
)
async def test_an_image_that_cannot_be_had_is_the_clients_error(provider: Provider, url: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        await provider.ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert (caught.value.failure, caught.value.status) == (Failure.STATUS, 400)
    assert provider.requests == []


@every_kind
@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "URL"}},
        {"type": "document", "source": {"type": "url", "url": "URL"}},
        {"type": "image", "source": {"type": "url", "url": "URL"}},
        {"type": "video_url", "video_url": {"url": "URL"}},
        {"type": "input_audio", "input_audio": {"data": "URL", "format": "wav"}},
    ],
    ids=lambda part: part["type"],
)
async def test_no_other_address_in_a_message_is_fetched(provider: Provider, part: dict[str, Any]) -> None:
    url = provider.upstream.base_url(provider.scene) + "/fetched"
    content = orjson.loads(orjson.dumps([part]).replace(b"URL", url.encode()))
    with contextlib.suppress(UpstreamError):
        await provider.ask(messages=[{"role": "user", "content": content}])
    assert [request["path"] for request in provider.requests if request["path"] == "/fetched"] == []


@every_kind
async def test_a_private_address_is_not_connected_to(provider: Provider) -> None:
    provider.target = provider.at("http://169.254.169.254")
    with pytest.raises(UpstreamError) as caught:
        await provider.ask()
    assert caught.value.failure is Failure.CONNECT
    assert "private address" in caught.value.message


@every_kind
async def test_a_redirect_is_not_followed(provider: Provider) -> None:
    provider.behave(status=307, headers={"location": provider.upstream.base_url("elsewhere")})
    with pytest.raises(UpstreamError) as caught:
        await provider.ask()
    assert caught.value.failure is Failure.JUNK
    assert provider.upstream.requests(scene="elsewhere") == []


@every_kind
@pytest.mark.parametrize(
    "model", ["../../files", "x?y=", "x#", "a/../b", "./m", "x:streamGenerateContent", "x%2fy", "x y"]
)
async def test_a_models_name_leads_to_no_other_path(provider: Provider, model: str) -> None:
    """It would be asked with the provider's key, and under a name that has no price."""
    provider.target = replace(provider.target, model=model)
    with pytest.raises(UpstreamError, match="cannot be a model") as raised:
        await provider.ask()
    assert raised.value.status == 400
    assert provider.requests == []
