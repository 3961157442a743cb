"""The whole suite, in groups of which some run beside each other: half of its time is waiting for servers.

`python -m tests.everything` is what `make test` runs. Each group is a pytest of its own with its own Postgres; what it
printed comes when it has ended. What no other group names is in the one that names nothing, so no test is forgotten.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.installation import SHARED

TESTS = Path(__file__).parent
# How the paths of each group's files begin; a file belongs to the group that names most of its path. They start in this
# order, the longest first, so that all cores have something to do until the end.
NAMED = (
    ("gateway/",),
    ("gateway/test_a", "gateway/test_d", "gateway/test_e", "gateway/test_i", "gateway/test_s", "gateway/test_u"),
    ("e2e/",),
    ("platform/",),
    ("",),
    ("accounts/", "console/", "analytics/", "keys/"),
    ("rag/",),
    ("platform/test_s",),
    ("gateway/test_transformers_serve", "bench/"),
)
# Two that work for each core, and one more, as they wait for a third of their time.
AT_ONCE = 2 * (os.cpu_count() or 1) + 1


def groups() -> list[list[str]]:
    """The test files of each group, in the order in which they start."""
    found: list[list[str]] = [[] for _ in NAMED]
    for path in sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")):
        named = [max(path.startswith(start) * (1 + len(start)) for start in group) for group in NAMED]
        found[named.index(max(named))].append(f"tests/{path}")
    return [group for group in found if group]


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
