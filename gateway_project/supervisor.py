"""The process behind `make run`: holds Postgres and keeps the web processes and the worker running.

The first web process also checks the vault and migrates; the others and the worker start when it serves.

    python -m gateway_project.supervisor [--under-make]

Exit status: 0 after Ctrl-C or TERM, 2 when the environment cannot be used (one line says which variable).
"""

import contextlib
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gateway_project import embedded
from gateway_project.checks import log_warnings, refuse_errors
from gateway_project.env import BASE_DIR, BadEnvironment, Environment, current, exit_on_bad_environment
from gateway_project.logging import configure as configure_logging
from gateway_project.processes import child_setup, die_with_parent, is_handling, listen
from gateway_project.serve import DRAIN_SECONDS

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# A child that stayed up this long starts over with the first pause.
SETTLED_SECONDS = 30.0
# All children together get this long to end; Postgres has the rest of ten seconds.
STOP_SECONDS = DRAIN_SECONDS + 1.0

STOPPING = {signal.SIGINT, signal.SIGTERM}
if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
    STOPPING.add(signal.SIGHUP)
WATCHED = STOPPING | {signal.SIGCHLD, signal.SIGUSR1}


class Child:
    """A process that is started again, after a growing pause, whenever it ends."""

    def __init__(self, name: str, command: list[str], descriptors: tuple[int, ...] = ()) -> None:
        self.name = name
        self.command = command
        self.descriptors = descriptors
        self.process: subprocess.Popen[bytes] | None = None
        self.due = 0.0
        self._pause = FIRST_PAUSE
        self._started = 0.0

    def start(self) -> int:
        """The new process's id, which is its group's, too: a terminal's Ctrl-C reaches the supervisor alone."""
        self._started = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603
            self.command, cwd=BASE_DIR, pass_fds=self.descriptors, start_new_session=True,
            stdin=subprocess.DEVNULL, preexec_fn=child_setup(os.getpid()),
        )  # fmt: skip
        return self.process.pid

    def ended(self) -> int | None:
        """The exit status (negative: a signal's number) of a process that has just ended; None while it runs."""
        return self.process.poll() if self.process else None

    def plan_restart(self) -> float:
        """When it may start again; returns the pause in seconds."""
        self.process = None
        if time.monotonic() - self._started >= SETTLED_SECONDS:
            self._pause = FIRST_PAUSE
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        self.due = time.monotonic() + pause
        return pause

    def send(self, number: int) -> None:
        """A signal to the process and everything that it started."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self.process.pid, number)
                else:
                    self.process.send_signal(number)


class Stop(Exception):
    """A signal asked for the end."""


class Supervisor:
    """Runs the children until a signal of `STOPPING`."""

    def __init__(
        self, env: Environment, hold: embedded.Hold | None, listener: socket.socket, make: int | None = None
    ) -> None:
        self.env = env
        self.make = make
        self.hold = hold
        self.children: list[Child] = []
        self._descriptor = listener.fileno()
        self._ready = False

    def run(self) -> None:
        """Start the children, the first web process before the others, and keep them running.

        Raises Stop, and SystemExit when the first web process cannot start.
        """
        first = self._web("web" if self.env.web_workers == 1 else "web 1", "--prepare")
        self.children = [first]
        self._start(first)
        while not self._ready:
            self._wait(1.0)
            if (status := first.ended()) is not None:
                raise SystemExit(2 if status == 2 else 1)
        log_warnings(self.env)
        first.command = self._web_command()
        self.children += [self._web(f"web {number}") for number in range(2, self.env.web_workers + 1)]
        self.children.append(Child("worker", worker_command(self.env)))
        self.children.append(Child("embedder", embedder_command(self.env)))
        while True:
            self._keep_running()
            self._wait(1.0)

    def _keep_running(self) -> None:
        for child in self.children:
            if (status := child.ended()) is not None:
                self._forget(child)
                pause = child.plan_restart()
                logger.error("%s ended with status %s; starting it again in %.1f s", child.name, status, pause)
            if child.process is None and time.monotonic() >= child.due:
                self._start(child)
        if self.hold:
            self.hold.check_keeper()
            if not self.hold.running():
                logger.error("the embedded Postgres ended; starting it again")
                self.hold.ensure()

    def _web_command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "gateway_project.serve", str(self._descriptor), *options]

    def _web(self, name: str, *options: str) -> Child:
        return Child(name, self._web_command(*options), (self._descriptor,))

    def stop(self) -> None:
        """End every child: politely, then not. A second signal skips the polite part."""
        self.make = None  # its handler runs until this process ends
        for child in self.children:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        with contextlib.suppress(Stop):
            while time.monotonic() < deadline and any(c.process and c.ended() is None for c in self.children):
                self._wait(0.2)
        for child in self.children:
            child.send(signal.SIGKILL)

    def _start(self, child: Child) -> None:
        pid = child.start()
        if self.hold:
            self.hold.watch(pid)

    def _forget(self, child: Child) -> None:
        if self.hold and child.process:
            # Whatever the process started ends with it.
            child.send(signal.SIGKILL)
            self.hold.forget(child.process.pid)

    def _wait(self, seconds: float) -> None:
        """Sleep until a signal or for `seconds`. Raises Stop."""
        due = [child.due - time.monotonic() for child in self.children if child.process is None]
        if self.make and is_handling(self.make, signal.SIGINT):
            raise Stop("SIGINT to make")
        received = signal.sigtimedwait(WATCHED, max(0.0, min([seconds, *due])))
        if received is None:
            return
        if received.si_signo in STOPPING:
            raise Stop(f"{signal.Signals(received.si_signo).name} from process {received.si_pid}")
        if received.si_signo == signal.SIGUSR1 and not self._ready:
            self._ready = True
            sys.stdout.write(f"LLM Gateway is ready: {console_url(self.env)}\n")
            sys.stdout.flush()


def worker_command(env: Environment) -> list[str]:
    """Celery's worker with its beat, in threads: one small process, beside the beat that it forks."""
    return _celery(env, "celery", 4, "--beat", f"--schedule={env.data_dir / 'beat-schedule'}")


def embedder_command(env: Environment) -> list[str]:
    """The worker that holds the embedding models: it embeds documents, and serves the models on a socket."""
    return _celery(env, "embed", 2, "--hostname=embedder@%h")


def _celery(env: Environment, queue: str, threads: int, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "celery", "--quiet", "-A", "gateway_project", "worker", f"--queues={queue}",
        "--pool=threads", f"--concurrency={threads}", *options,
        "--without-gossip", "--without-mingle", "--without-heartbeat", f"--loglevel={env.log_level}",
    ]  # fmt: skip


def console_url(env: Environment) -> str:
    """Where a browser on this machine finds the console."""
    return f"{env.public_url or env.own_url}/console/"


@contextlib.contextmanager
def claim(data_dir: Path) -> Iterator[None]:
    """Be the only gateway on `data_dir`. The lock goes with its process. Raises BadEnvironment."""
    with (data_dir / "gateway.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise BadEnvironment(f"DATA_DIR: {data_dir} is in use by the gateway that is {holder}") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield


def supervise(env: Environment, make: int | None = None) -> None:
    """Everything from the first check to the last child's end. Raises BadEnvironment and SystemExit."""
    with claim(env.data_dir), listen(env.host, env.port) as listener:
        hold = embedded.start(env.data_dir) if env.embedded else None
        supervisor = Supervisor(env, hold, listener, make)
        try:
            supervisor.run()
        except Stop as stop:
            logger.info("stopping: %s", stop)
        finally:
            # Connections that arrive from now on are refused instead of left waiting.
            listener.close()
            supervisor.stop()
            if hold:
                hold.release()


def main(arguments: list[str]) -> None:
    make = None
    if "--under-make" in arguments:
        make = os.getppid()
        die_with_parent(signal.SIGTERM)
    # Signals wait until sigtimedwait takes them: none interrupts anything half done.
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    with exit_on_bad_environment():
        env = current()
        configure_logging(env.log_level)
        refuse_errors(env)
        supervise(env, make)


if __name__ == "__main__":
    main(sys.argv[1:])
