"""Compile the `.in` files beside this one into hash-locked `.txt` files (`make lock`).

uv resolves once for every platform and Python; each lock then holds only what the ones before it do not, so that they
install together, as they are, with `pip install --no-deps --require-hashes`:

    base.txt      what every process needs
    ml-cuda.txt   torch from PyPI, with NVIDIA's libraries
    ml-cpu.txt    the same versions, torch by the hashes of PyTorch's CPU wheels, without those libraries
    dev.txt       what tests and linters need besides

Pins in the existing locks stay unless `--upgrade` (or `--upgrade-package NAME`) is given.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# What torch needs for CUDA and nothing else does.
CUDA_ONLY = re.compile(r"(nvidia|cuda)-|triton$")
ENTRY = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^\s;]+)")

# The entries of one package: more than one when versions differ by Python.
Lock = dict[str, list[str]]


def compiled(name: str, *constraints: str, options: list[str]) -> Lock:
    """`name`.in resolved under `constraints` (locks compiled before)."""
    command = ["uv", "pip", "compile", f"{name}.in", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", *options]
    for constraint in constraints:
        command += ["--constraint", constraint]
    return parsed(subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout)  # noqa: S603


def parsed(text: str) -> Lock:
    """A lock's text by package."""
    lock: Lock = {}
    name = ""
    for line in text.splitlines():
        if found := ENTRY.match(line):
            name = found["name"]
            lock.setdefault(name, []).append("")
        if name and line and not line.lstrip().startswith("#"):
            lock[name][-1] += f"{line}\n"
    return lock


def with_cpu_torch(lock: Lock) -> Lock:
    """`lock` with the hashes of PyTorch's CPU wheels and without what only CUDA needs."""
    found = ENTRY.match(lock["torch"][0])
    assert found  # noqa: S101  (parsed() made it)
    version = found["version"]
    hashes = [
        digest
        for digest, wheel in (line.split() for line in (HERE / "torch-cpu.sha256").read_text().splitlines())
        if wheel.startswith((f"torch-{version}+cpu-", f"torch-{version}-"))
    ]
    if not hashes:
        sys.exit(f"torch-cpu.sha256 lists no wheel of torch {version}: take them from PyTorch's CPU index")
    kept = {name: entries for name, entries in lock.items() if not CUDA_ONLY.match(name)}
    kept["torch"] = [" \\\n    ".join([f"torch=={version}", *(f"--hash=sha256:{digest}" for digest in hashes)]) + "\n"]
    return kept


def write(name: str, lock: Lock) -> None:
    body = "".join(entry for package in sorted(lock) for entry in lock[package])
    (HERE / f"{name}.txt").write_text(f"# Compiled by `make lock`; edit the .in file instead.\n{body}")


def main(options: list[str]) -> None:
    base = compiled("base", options=["--output-file", "base.txt", *options])
    write("base", base)
    ml = compiled("ml", "base.txt", options=["--output-file", "ml-cuda.txt", *options])
    ml = {name: entries for name, entries in ml.items() if name not in base}
    write("ml-cuda", ml)
    write("ml-cpu", with_cpu_torch(ml))
    dev = compiled("dev", "base.txt", "ml-cuda.txt", options=["--output-file", "dev.txt", *options])
    write("dev", {name: entries for name, entries in dev.items() if name not in base and name not in ml})


if __name__ == "__main__":
    main(sys.argv[1:])
