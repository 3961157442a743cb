"""The benchmark of search, over a few chunks: it builds its store, and finds what is nearest."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import ROOT


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_small_store_is_built_searched_and_used_again(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bench",
        "rag-search",
        "--rows",
        "2000",
        "--questions",
        "3",
        "--data",
        str(tmp_path),
    ]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    for run in (built, again):
        table = run.stdout.splitlines()[-11:]
        # Few are compared one by one. How long that takes is not for a test.
        assert [line.split()[:2] for line in table[1:5]] == [
            ["all", "libraries"], ["1%", "by"], ["1%", "by"], ["one", "library"],
        ], run.stderr  # fmt: skip
        assert all("1.0000" in line for line in table[1:5])
    assert "rows:" in built.stdout
    assert "rows:" not in again.stdout
