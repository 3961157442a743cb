"""`make run` ends like the supervisor itself, whichever process the signal was sent to."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_project.env import BASE_DIR
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
