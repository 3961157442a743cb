"""The whole suite, in groups of which some run beside each other: half of its time is waiting for servers.

`python -m tests.everything` is what `make test` runs. Each group is a pytest of its own with its own Postgres; what it
printed comes when it has ended. What no group names is a group too, so no test is forgotten.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.installation import SHARED

TESTS = Path(__file__).parent
# How the paths of each group's files begin, the longest group first; a file belongs to the first group that names it.
# What needs torch is by itself: its server takes half a minute to start.
NAMED = (
    ("gateway/test_transformers_serve", "bench/"),
    ("gateway/test_a", "gateway/test_d", "gateway/test_e", "gateway/test_s"),
    ("gateway/",),
    ("e2e/",),
    ("platform/",),
    ("routing/", "lib/", "upstream/"),
    ("accounts/", "console/", "analytics/", "keys/"),
    ("rag/",),
)
# The first one above is started last: its soak and its servers like a quieter machine.
FIRST = 1
AT_ONCE = 2 * (os.cpu_count() or 1)


def groups() -> Iterator[list[str]]:
    """The test files of each group, in the order in which they start."""
    left = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py"))
    found = []
    for beginnings in (*NAMED, ("",)):
        found.append([f"tests/{path}" for path in left if path.startswith(beginnings)])
        left = [path for path in left if not path.startswith(beginnings)]
    yield from (group for group in [*found[FIRST:], *found[:FIRST]] if group)


def run(group: list[str], number: int, folder: str) -> tuple[list[str], int, bytes]:
    """The group, its exit status, and what it said.

    Its temporary files are in a folder of its own: in the one that pytests share, each that starts takes other users'
    way in, and Postgres is one.
    """
    options = ["-p", "no:cacheprovider", "--durations=8", f"--basetemp={folder}/{number}"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *group],
        env={**os.environ, SHARED: f"{folder}/template"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return group, ended.returncode, ended.stdout


def main() -> int:
    """Run every group. 1 when one of them failed."""
    started = time.monotonic()
    failed = False
    with (
        tempfile.TemporaryDirectory(prefix="gw-", ignore_cleanup_errors=True) as folder,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        Path(folder, "template").mkdir()
        for running in as_completed([pool.submit(run, group, n, folder) for n, group in enumerate(groups())]):
            group, status, said = running.result()
            failed |= status != 0
            folders = sorted({path.split("/")[1] for path in group})
            sys.stdout.buffer.write(f"--- {', '.join(folders)}: {time.monotonic() - started:.0f} s\n".encode() + said)
            sys.stdout.flush()
    sys.stdout.write(f"{time.monotonic() - started:.0f} s\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
