"""The whole suite, in groups that run beside each other: most of its time is waiting for servers, not computing.

`python -m tests.everything` is what `make test` runs. Each group is a pytest of its own with its own Postgres; what it
printed comes when it has ended. A directory that no group names belongs to the last one, so none is forgotten.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parent
NAMED = (("routing", "lib", "keys", "upstream", "bench"), ("gateway",), ("e2e", "analytics"))


def groups() -> list[list[str]]:
    """The directories of each group."""
    every = sorted({path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py") if path.parent != TESTS})
    named = {name for group in NAMED for name in group}
    rest = [name for name in every if name not in named]
    return [[f"tests/{name}" for name in group] for group in (*NAMED, rest)]


def main() -> int:
    """Run every group. 1 when one of them failed."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number, group in enumerate(groups()):
            said = (Path(folder) / str(number)).open("w+b")
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=8", *group]
            running.append((group, said, subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)))
        failed = False
        for group, said, process in running:
            failed |= process.wait() != 0
            said.seek(0)
            sys.stdout.buffer.write(f"--- {' '.join(group)}\n".encode() + said.read())
            sys.stdout.flush()
            said.close()
    sys.stdout.write(f"{time.monotonic() - started:.0f} s\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
