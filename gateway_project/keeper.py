"""The keeper: a small process that outlives whoever started it and cleans up behind it.

Whoever holds the embedded Postgres starts one, with a pipe as its standard input. When the pipe closes, however the
holder ended (`kill -9`, too), the keeper kills the process groups that it was told of and stops Postgres, unless
another process holds it as well.

    python -m gateway_project.keeper DATA_DIR      reads "+GROUP" and "-GROUP", a line each
"""

import fcntl
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from gateway_project.postgres import Cluster, locked

# A dying process closes its pipe and its lock one after the other.
LOCK_SECONDS = 0.5


def main(data_dir: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    with suppress(TimeoutError, FileNotFoundError), locked(data_dir / "postgres.holders", fcntl.LOCK_EX, LOCK_SECONDS):
        Cluster(data_dir).stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
