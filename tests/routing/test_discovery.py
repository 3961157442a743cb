"""Asking a provider how it is: every way in which it can be no use, told in plain words."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_django import Settings

from keys.kinds import KINDS, api_base
from keys.probe import ProbeResult
from keys.vault import Secret
from routing import discovery
from routing.discovery import probe_now
from tests.keys.server import Server

SECRET = Secret("sk-probe-0123456789")


@pytest.fixture(autouse=True)
def _local_hosts(settings: Settings) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ("localhost", "127.0.0.1", "::1")
    settings.ENVIRONMENT_HOSTS = ()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.models("tiny", "large")
        yield running


def ask(kind: str, url: str, secret: Secret | None = SECRET, seconds: float = 5) -> ProbeResult:
    return probe_now(KINDS[kind], api_base(KINDS[kind], url), secret, seconds)


def test_a_healthy_server(server: Server) -> None:
    server.json("/health", {})
    result = ask("vllm", server.url)
    assert (result.ok, result.models, result.error) == (True, ("tiny", "large"), "")
    assert 0 <= result.latency_ms < 5000
    assert server.paths() == ["/health", "/v1/models"]


def test_ollamas_health_is_elsewhere(server: Server) -> None:
    server.json("/api/tags", {"models": []})
    assert ask("ollama", server.url).ok
    assert server.paths()[:2] == ["/api/tags", "/v1/models"]


def test_a_server_that_is_still_loading(server: Server) -> None:
    server.json("/health", {}, status=503)
    assert ask("vllm", server.url).error == "It is up but not ready: its health check answered 503."


def test_a_server_without_a_health_check_is_judged_by_its_models(server: Server) -> None:
    assert ask("vllm", server.url).ok


@pytest.mark.parametrize(
    ("kind", "path", "header", "value"),
    [
        ("openai_compatible", "/v1/models", "authorization", "Bearer sk-probe-0123456789"),
        ("anthropic", "/v1/models", "x-api-key", "sk-probe-0123456789"),
        ("gemini", "/v1beta/models", "x-goog-api-key", "sk-probe-0123456789"),
        ("azure", "/openai/models", "api-key", "sk-probe-0123456789"),
    ],
)
def test_each_kind_is_asked_in_its_way(server: Server, kind: str, path: str, header: str, value: str) -> None:
    server.json(path, {"data": [{"id": "a"}], "models": [{"name": "models/b"}]})
    result = ask(kind, server.url)
    assert result.ok
    assert result.models == {"gemini": ("b",), "azure": ()}.get(kind, ("a",))
    [request] = server.requests
    assert request.headers[header] == value
    assert kind != "anthropic" or request.headers["anthropic-version"] == "2023-06-01"
    assert "sk-" not in request.path_qs


def test_a_bare_list_as_together_sends_it(server: Server) -> None:
    server.json("/v1/models", [{"id": "a"}, {"id": "a"}, {"id": ""}, {"id": 5}, {"id": "x" * 301}, {"id": "b\n"}])
    assert ask("together", server.url).models == ("a",)


def test_ollama_without_a_model(server: Server) -> None:
    server.json("/v1/models", {"object": "list", "data": None})
    result = ask("ollama", server.url)
    assert (result.ok, result.models) == (True, ())


def test_the_demo_is_not_asked_over_the_network() -> None:
    assert ask("demo", "").models == ("demo",)


# --- What can be wrong ---------------------------------------------------------------------------


def page(text: str, kind: str = "text/html", status: int = 200) -> Callable[[], web.Response]:
    return lambda: web.Response(text=text, content_type=kind, status=status)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page("bad key sk-probe-0123456789", status=401), "The key was refused (401)."),
        (page("", status=403), "The key was refused (403)."),
        (page('{"error": {"status": "API_KEY_INVALID"}}', status=400), "The key was refused (400)."),
        (page("", status=404), "It has no list of models (/models answered 404); check the base_url."),
        (page("", status=429), "It is there, but its rate limit is used up (429)."),
        (page("", status=500), "It failed (500)."),
        (page("", status=418), "It is not an LLM server: listing its models answered 418."),
        (page("<!doctype html><h1>Hello</h1>"), "It is not an LLM server: it answered with a web page."),
        (page("hello"), "It is not an LLM server: it answered with no JSON."),
        (page(""), "It is not an LLM server: it answered with no JSON."),
        (page("5"), "It is not an LLM server: its answer is no list of models."),
        (page('{"data": "none"}'), "It is not an LLM server: its answer is no list of models."),
        (page('{"data": ["tiny"]}'), "It is not an LLM server: its answer is no list of models."),
        (page("[" * 5000), "It is not an LLM server: it answered with no JSON."),
        (page("x" * (5 << 20)), "It is not an LLM server: its answer is larger than 4 MB."),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_useless_answer(server: Server, answer: Callable[[], web.Response], words: str) -> None:
    server.respond("/v1/models", answer)
    result = ask("openai_compatible", server.url)
    assert (result.ok, result.error, result.models) == (False, words, ())


def test_a_server_that_wants_a_key(server: Server) -> None:
    server.respond("/v1/models", page("", status=401))
    assert ask("vllm", server.url, secret=None).error == "It asks for a key (401)."


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: Server, status: int) -> None:
    with Server() as elsewhere:
        elsewhere.models("stolen")
        headers = {"location": f"{elsewhere.url}/v1/models"}
        server.respond("/v1/models", lambda: web.Response(status=status, headers=headers))
        assert ask("openai", server.url).error.startswith(f"It redirects ({status})")
        assert elsewhere.requests == []


def test_a_model_named_like_the_key_is_dropped(server: Server) -> None:
    server.models("tiny", f"x-{SECRET.reveal()}")
    assert ask("vllm", server.url).models == ("tiny",)


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert ask("vllm", url).error == "The connection was refused: nothing listens at this address."


def test_no_such_host() -> None:
    assert ask("vllm", "http://no-such-host.invalid:8000").error == "There is no host of this name (DNS)."


def test_a_private_address(settings: Settings, server: Server) -> None:
    settings.ALLOWED_PRIVATE_HOSTS = ()
    assert "private address" in ask("vllm", server.url).error
    assert server.requests == []


def test_a_local_provider_whose_name_leads_to_the_internet_by_now() -> None:
    """Nothing is sent there, the secret least of all."""
    result = discovery.run(discovery.probe(KINDS["vllm"], "http://8.8.8.8:8000/v1", SECRET, 3, local=True))
    assert result.error == "Its host leads to a public address, and it is to be local."


def test_a_server_that_says_nothing_in_time(server: Server) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    server.answers["/v1/models"] = never
    result = ask("openai", server.url, seconds=0.3)
    assert result.error == "It did not answer within 0.3 seconds."
    assert 300 <= result.latency_ms < 2000


def test_a_body_that_drips_for_ever(server: Server) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.05)

    server.answers["/v1/models"] = drip
    assert ask("openai", server.url, seconds=0.5).error == "It did not answer within 0.5 seconds."


def test_a_body_that_breaks_off(server: Server) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b'{"data": [')
        assert request.transport
        request.transport.close()
        return response

    server.answers["/v1/models"] = half
    assert not ask("openai", server.url).ok


def test_what_speaks_no_http() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()
        writer.close()

    async def probe() -> ProbeResult:
        running = await asyncio.start_server(shout, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/v1"
        return await discovery.probe(KINDS["openai"], base, SECRET, 5)

    assert asyncio.run(probe()).error == "It is not an LLM server: its answer is not proper HTTP."


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS with a certificate that nobody trusts."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = dated.sign(key, hashes.SHA256())
    (folder / "pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    return context


def test_a_certificate_that_is_not_trusted(self_signed: ssl.SSLContext) -> None:
    with Server(self_signed) as server:
        assert ask("vllm", server.url).error == "Its TLS certificate is not trusted: self-signed certificate."
        assert server.requests == []


def test_https_to_an_http_server(server: Server) -> None:
    error = ask("vllm", server.url.replace("http:", "https:")).error
    assert error == "It does not speak TLS here; is it http:// instead of https://?"


def test_http_to_an_https_server(self_signed: ssl.SSLContext) -> None:
    with Server(self_signed) as server:
        assert "https://" in ask("vllm", server.url.replace("https:", "http:")).error
