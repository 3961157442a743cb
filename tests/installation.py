"""A data directory with an empty, migrated database, made once and copied: initdb and migrations take four seconds.

What starts the product with nothing at all is the business of a few tests; the others `furnish` its folder first.
"""

import atexit
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway_project.env import BASE_DIR
from gateway_project.postgres import Cluster

# `tests.everything` lets its groups share one folder for it.
SHARED = "TESTS_TEMPLATE"


def shared() -> bool:
    """Whether other sessions use the template as well, so that a single test is worth making it."""
    return SHARED in os.environ


def furnish(data_dir: Path) -> None:
    """Let `data_dir` have the database that `manage.py migrate` leaves, unless it has one. Its keys will be its own."""
    if (data_dir / "postgres").exists():
        return
    data_dir.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(_template() / "postgres"), str(data_dir)], check=True)
    # The user that Postgres runs as needs a way to it.
    Cluster(data_dir)._hand_over(data_dir / "postgres")


def _template() -> Path:
    folder = Path(os.environ[SHARED]) if shared() else _own_folder()
    made = folder / "data"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _migrate(folder / "draft")
            (folder / "draft").rename(made)
    return made


def _own_folder() -> Path:
    global _folder
    if _folder is None:
        _folder = Path(tempfile.mkdtemp(prefix="gw-template-"))
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    return _folder


_folder: Path | None = None


def _migrate(data_dir: Path) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        cwd=BASE_DIR, env={**kept, "DATA_DIR": str(data_dir)}, check=True, timeout=120,
    )  # fmt: skip
    # Nobody pulls the plug of this machine; a server that is killed has lost nothing.
    with (data_dir / "postgres" / "postgresql.auto.conf").open("a") as settings:
        settings.write("fsync = off\n")
