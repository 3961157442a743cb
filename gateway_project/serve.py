"""A web process: uvicorn or daphne on a listening socket that the supervisor made.

python -m gateway_project.serve FD        SERVER chooses the server
"""

import gc
import os
import signal
import socket
import sys
import warnings
from typing import Any

from gateway_project.env import Environment, current, exit_on_bad_environment
from gateway_project.prepare import prepare
from gateway_project.processes import BACKLOG, allow_open_files

# A stopping server lets running answers end for this long; the supervisor waits a little longer.
DRAIN_SECONDS = 7
KEEP_ALIVE_SECONDS = 75


def tell_ready() -> None:
    """The supervisor prints the console's URL on this signal."""
    os.kill(os.getppid(), signal.SIGUSR1)


def load_application() -> Any:
    """The ASGI application with its URLs, all imported now, so that no request waits for it."""
    # Imports make what stays: the collector would look at all of it again and again.
    gc.disable()
    from django.urls import get_resolver

    from gateway_project.asgi import application

    # WhiteNoise hands out open files, which Django reads in a thread and warns about: static files are small.
    warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators", Warning)
    _ = get_resolver().url_patterns
    # What is loaded now stays; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.enable()
    # A request makes some hundred objects and leaves no cycles to speak of, so there is little to look for.
    gc.set_threshold(10_000, 10, 10)
    return application


def serve_with_uvicorn(env: Environment, listener: socket.socket) -> None:
    import uvicorn

    from gateway_project.http_protocol import BoundedHttp

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                tell_ready()

    config = uvicorn.Config(
        load_application(),
        loop="uvloop",
        http=BoundedHttp,
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(env.trusted_proxies),
        forwarded_allow_ips=list(env.trusted_proxies),
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    Server(config).run(sockets=[listener])


def serve_with_daphne(env: Environment, listener: socket.socket) -> None:
    # Twisted is particular about import order: daphne comes before anything that may import a reactor.
    from daphne.server import Server as DaphneServer
    from twisted.internet import reactor as installed

    # Twisted's own stubs describe it as a module of functions.
    reactor: Any = installed

    class Server(DaphneServer):
        """Ends like uvicorn: no new connections, then a bounded wait for the answers that are running."""

        def listen_success(self, port: Any) -> None:
            super().listen_success(port)
            self._port = port

        def drain(self) -> None:
            self._port.stopListening()
            self._end_when_idle(reactor.seconds() + DRAIN_SECONDS)

        def _end_when_idle(self, deadline: float) -> None:
            if self._running() and reactor.seconds() < deadline:
                reactor.callLater(0.1, self._end_when_idle, deadline)
            else:
                reactor.stop()

        def _running(self) -> bool:
            applications = [details.get("application_instance") for details in self.connections.values()]
            return any(application and not application.done() for application in applications)

        def kill_all_applications(self) -> Any:
            # Daphne expects an application in every connection; an idle one has none.
            for protocol in [key for key, details in self.connections.items() if "application_instance" not in details]:
                del self.connections[protocol]
            return super().kill_all_applications()

    trusted = {"X-Forwarded-For", "X-Forwarded-Proto"} if env.trusted_proxies else set()
    server = Server(
        load_application(),
        endpoints=[f"fd:fileno={listener.fileno()}"],
        signal_handlers=False,
        server_name="",
        http_timeout=None,
        application_close_timeout=DRAIN_SECONDS,
        ready_callable=tell_ready,
        proxy_forwarded_address_header="X-Forwarded-For" if trusted else None,
        proxy_forwarded_proto_header="X-Forwarded-Proto" if trusted else None,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(server.drain))
    server.run()


def main(descriptor: int, *options: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    with exit_on_bad_environment():
        env = current()
        if "--prepare" in options:
            prepare(env)
    allow_open_files()
    listener = socket.socket(fileno=descriptor)
    (serve_with_daphne if env.server == "daphne" else serve_with_uvicorn)(env, listener)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
