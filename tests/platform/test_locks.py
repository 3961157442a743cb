"""The locks install anywhere, from what they say they hold."""

import re
from pathlib import Path

import pytest

from gateway_project.env import BASE_DIR

LOCKS = {name: (BASE_DIR / "requirements" / f"{name}.txt").read_text() for name in ("base", "ml-cpu", "ml-cuda", "dev")}
ENTRY = re.compile(r"^([a-z0-9.-]+)==([^\s;]+)", re.MULTILINE)


def packages(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package, version in ENTRY.findall(LOCKS[name]):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_is_pinned_and_hashed(name: str) -> None:
    lines = [line for line in LOCKS[name].splitlines() if line and not line.startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith(" "):
            assert ENTRY.match(line), line
            assert following.lstrip().startswith("--hash=sha256:"), line


@pytest.mark.parametrize("name", LOCKS)
def test_no_path_of_a_machine_and_no_local_version(name: str) -> None:
    for word in ("file:", " @ ", "/opt", "/tmp", "/home", "http://", "https://"):
        assert word not in LOCKS[name]
    assert not [version for versions in packages(name).values() for version in versions if "+" in version]


def test_no_package_is_in_two_locks_that_install_together() -> None:
    base, cpu, cuda, dev = (set(packages(name)) for name in LOCKS)
    assert not base & (cpu | cuda | dev)
    assert not cuda & dev


def test_the_cpu_lock_is_the_cuda_lock_without_cuda() -> None:
    cpu, cuda = packages("ml-cpu"), packages("ml-cuda")
    assert not [name for name in cpu if re.match(r"(nvidia|cuda)-|triton", name)]
    assert [name for name in cuda if name.startswith("nvidia-")]
    assert cpu == {name: cuda[name] for name in cpu}


def test_the_cpu_lock_takes_no_cuda_wheel_of_torch() -> None:
    known = dict(line.split() for line in Path(BASE_DIR / "requirements/torch-cpu.sha256").read_text().splitlines())
    entry = re.search(r"^torch==.*?(?=^\S)", LOCKS["ml-cpu"], re.MULTILINE | re.DOTALL)
    assert entry
    assert set(re.findall(r"sha256:([0-9a-f]{64})", entry[0])) == set(known)


def test_no_litellm_with_malware() -> None:
    assert packages("base")["litellm"].isdisjoint({"1.82.7", "1.82.8"})
