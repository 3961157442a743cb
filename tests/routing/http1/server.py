"""A server that says byte for byte what a test wants it to say, over a real socket, with or without TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway_project.lib.net import Guard, PrivateHosts
from routing.http1 import Pool, Request, Response
from routing.providers.base import Timeouts

PATIENT = Timeouts(connect=5, first_byte=5, idle=5, total=10)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Serves each connection with `talk`; `connections` counts them, `requests` holds what each was asked."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self.left = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.tasks.add(task)
        self.connections += 1
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request, its body included."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        self.requests.append(head + await reader.readexactly(int(length.partition(b":")[2])))
        return self.requests[-1]

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}/v1/chat/completions"


@asynccontextmanager
async def serving(talk: Talk | None = None, tls: ssl.SSLContext | None = None, **options: int) -> AsyncIterator[Server]:
    """A server on a free port of the loopback interface."""
    running = Server(talk or (lambda reader, writer: answer_all(running, reader, writer)))
    listening = await asyncio.start_server(running.serve, "127.0.0.1", 0, ssl=tls, **options)
    running.port = listening.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        listening.close()
        for task in running.tasks:
            task.cancel()
        await asyncio.gather(*running.tasks, return_exceptions=True)


async def answer_all(
    server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes = OK
) -> None:
    """Answer each request of a connection alike."""
    while True:
        await server.request(reader)
        writer.write(answer)
        await writer.drain()


def pool(*allowed: str) -> Pool:
    """A pool that may connect to `allowed`; left out, to the loopback interface."""
    return Pool(guard=lambda: Guard(PrivateHosts.parse(allowed or ("127.0.0.1", "localhost", "::1"))))


def saying(*parts: bytes, pause: float = 0.0, close: bool = True) -> Talk:
    """Read a request, say `parts`, and close."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        if not close:
            await reader.read()

    return talk


def post(server: Server) -> Request:
    return Request.prepare("POST", server.url(), {"Content-Type": "application/json"})


async def ask(client: Pool, server: Server, body: bytes = b"{}", **limits: float) -> Response:
    return await client.send(post(server), body, replace(PATIENT, **limits))


async def body_of(response: Response) -> bytes:
    parts = []
    while part := await response.read():
        parts.append(part)
    return b"".join(parts)


async def body_said(client: Pool, *parts: bytes, pause: float = 0.0, close: bool = True) -> bytes:
    async with serving(saying(*parts, pause=pause, close=close)) as server:
        return await body_of(await ask(client, server))


def certificate(folder: Path, *names: str) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for `names` that signs itself; `folder/pem` is what may trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
    ]
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "pem").write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context
