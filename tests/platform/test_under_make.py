"""`make run` ends like the supervisor itself, whichever process the signal was sent to."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_project.env import BASE_DIR
from gateway_project.processes import is_handling
from tests.installation import furnish
from tests.platform.gateway import free_port, wait_until

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None and not os.environ.get("CI"), reason="make is not installed"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_make_alone_ends_every_process(tmp_path: Path, number: int) -> None:
    recipe = f"run:\n\t@exec {sys.executable} -m gateway_project.supervisor --under-make\n"
    (tmp_path / "Makefile").write_text(recipe)
    data_dir = tmp_path / "data"
    furnish(data_dir)
    make = subprocess.Popen(
        ["make", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(BASE_DIR), "DATA_DIR": str(data_dir), "PORT": str(free_port())},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert make.stdout
    assert "/console/" in make.stdout.readline()
    make.send_signal(number)
    make.wait(10)
    wait_until(lambda: not (data_dir / "postgres" / "postmaster.pid").exists(), 10, "the end of Postgres")
    wait_until(lambda: not make.stdout.read(1) if make.stdout else True, 10, "the end of whoever holds the pipe")


@pytest.mark.parametrize(("blocked", "handling"), [("[signal.SIGINT]", True), ("signal.valid_signals()", False)])
def test_a_parent_that_is_about_to_fork_was_not_interrupted(blocked: str, handling: bool) -> None:
    """Python blocks every signal while it starts a process, make all that end it; a handler of SIGINT blocks that."""
    program = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {blocked}); print(flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert is_handling(process.pid, signal.SIGINT) is handling
        process.kill()
