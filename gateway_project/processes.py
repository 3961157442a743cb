"""What a process needs of the operating system to live and die with others (Linux)."""

import ctypes
import errno
import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from gateway_project.env import BadEnvironment

BACKLOG = 2048
# Bytes that the kernel takes for a connection ahead of what its peer's window admits. Its own choice is 4 MB, which a
# client that stops reading would hold.
UNSENT = 128 * 1024
# Files that a process may have open at most. A shell's own limit, 1,024 as a rule, is for programs that `select`.
MOST_FILES = 65_536
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `number` when its parent ends, however that happens."""
    _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def allow_open_files() -> None:
    """Raise this process's limit of open files as far as it may: each client is one, and whom it is answered by too.

    At the limit connections are reset, and neither the database nor the spool can be opened.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def is_handling(pid: int, number: int) -> bool:
    """Whether the process is in its handler of this signal, which the kernel blocks meanwhile.

    So a child learns of a SIGINT that was sent to make alone: make waits for its children then, but tells them nothing.
    Who blocks SIGTERM too is in no handler, but about to fork: make and Python block more than one signal meanwhile.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    blocked = next((line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:")), "0")
    mask = int(blocked, 16)
    return bool(mask & 1 << (number - 1)) and not mask & 1 << (signal.SIGTERM - 1)


def child_setup(parent: int) -> Callable[[], None]:
    """What a new child of `parent` runs between fork and exec: no blocked signals, no life after its parent."""

    def setup() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        die_with_parent()
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    return setup


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises BadEnvironment, which names HOST or PORT."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise BadEnvironment(f"HOST: {host} is no address to listen on: {error.strerror}") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Accepted connections inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refusal(host, port, error) from None
    return listener


def _refusal(host: str, port: int, error: OSError) -> BadEnvironment:
    if isinstance(error, PermissionError):
        return BadEnvironment(f"PORT: this user may not listen on {port}")
    if error.errno == errno.EADDRINUSE:
        return BadEnvironment(f"PORT: {port} is in use on {host}; choose another, as in: make run PORT={port + 1}")
    return BadEnvironment(f"HOST: cannot listen on {host}: {error.strerror}")
