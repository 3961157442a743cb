"""The table."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measures import Row


def machine() -> str:
    """The machine in one line: processor, cores, Python, and how busy it is."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}"


def table(rows: Sequence[Row]) -> str:
    """The rows as text, a heading above them."""
    lines = [("what", "gateway", "pass-through", "ratio", "must", "aim", "", "web process alone")]
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:.3f} {row.unit}"
        ratio = "" if row.limit is None else f"{row.judged:.2f}"
        places = 3 if row.unit == "ms" else 1
        web = "" if row.web is None or row.limit is None else f"{row.web:.3f} ms, {row.web / row.limit:.2f}"
        gateway = f"{row.gateway:.{places}f} {row.unit}"
        lines.append((row.what, gateway, limit, ratio, f"{row.must:g}", f"{row.aim:g}", row.verdict, web))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 6, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def document(rows: Sequence[Row], flaws: Sequence[str]) -> dict[str, Any]:
    """The same for a program to read, every sample included."""
    measured = [asdict(row) | {"verdict": row.verdict} for row in rows]
    return {"at": datetime.now(UTC).isoformat(), "machine": machine(), "rows": measured, "flaws": list(flaws)}
