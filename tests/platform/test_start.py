"""How the gateway starts: ready soon, and one line with exit 2 when it cannot."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gateway_project.processes import MOST_FILES
from tests.installation import furnish
from tests.platform.conftest import Start
from tests.platform.gateway import Gateway, running, wait_until


@pytest.fixture(scope="module")
def gateway(start_shared: Start) -> Gateway:
    """One that was started with nothing at all, for the tests that leave it as it is."""
    return start_shared(fresh=True).ready()


def refusal(start: Start, **variables: str) -> str:
    """What a gateway that must not start prints: one line."""
    gateway = start(**variables)
    assert gateway.ended() == 2, gateway.output
    lines = gateway.output.strip().splitlines()
    assert len(lines) == 1, gateway.output
    return lines[0]


def test_it_prints_the_consoles_url_and_serves_it(gateway: Gateway) -> None:
    assert f"http://127.0.0.1:{gateway.port}/console/" in gateway.output
    assert gateway.get("/health").status_code == 200


def test_it_is_ready_within_six_seconds_on_data_that_is_there(start: Start) -> None:
    began = time.monotonic()
    gateway = start().ready()
    # The promise is for an idle machine. On one that other tests keep busy it waits more than it works.
    worked = sum(sum(process.cpu_times()[:2]) for process in gateway.processes())
    assert min(worked, time.monotonic() - began) < 6


def test_the_worker_reports_itself(gateway: Gateway) -> None:
    wait_until(lambda: gateway.get("/health").json()["checks"]["worker"] == "ok", 20, "a worker")
    assert gateway.get("/health").json()["status"] == "healthy"


def test_the_worker_does_not_import_torch_or_litellm(gateway: Gateway) -> None:
    wait_until(lambda: "ready." in gateway.output, 20, "the worker's start")
    maps = Path(f"/proc/{gateway.child('celery').pid}/maps").read_text()
    assert "torch" not in maps


def test_as_many_clients_may_come_as_the_system_lets(start: Start) -> None:
    """A shell's limit, which is not the system's, is a thousand connections as a rule."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        gateway = start().ready()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits = Path(f"/proc/{gateway.child('gateway_project.serve').pid}/limits").read_text().splitlines()
    [files] = [line.split() for line in limits if line.startswith("Max open files")]
    assert int(files[3]) == min(hard, MOST_FILES)


def test_daphne_serves_as_well(start: Start) -> None:
    gateway = start(SERVER="daphne").ready()
    assert gateway.get("/health").status_code == 200
    processes = gateway.processes()
    gateway.signal(signal.SIGTERM)
    assert gateway.ended(10) == 0
    gateway.assert_all_gone(processes)


def test_two_run_side_by_side(start: Start, gateway: Gateway) -> None:
    other = start().ready()
    for each in (gateway, other):
        assert each.get("/health").status_code == 200
    assert gateway.postmaster() != other.postmaster()
    other.signal(signal.SIGTERM)
    other.ended(10)
    assert gateway.get("/health").status_code == 200


def test_a_path_too_long_for_a_socket_is_no_obstacle(start: Start, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    furnish(deep)
    gateway = start(DATA_DIR=str(deep)).ready()
    assert gateway.get("/health").status_code == 200


# --- What does not block a start ------------------------------------------------------------------


def test_a_stale_pid_file_that_names_a_living_process(start: Start) -> None:
    first = start().ready()
    first.kill()
    pid_file = first.data_dir / "postgres" / "postmaster.pid"
    wait_until(lambda: not pid_file.exists(), 10, "Postgres's end")
    # The number of a process that lives, under this very user: Postgres alone would wait for it for ever.
    owner = pid_file.parent.stat().st_uid
    bystander = subprocess.Popen(["sleep", "60"], user=owner)
    try:
        pid_file.write_text(f"{bystander.pid}\n{pid_file.parent}\n1\n5432\n{pid_file.parent}\n\n 1 1\nready   \n")
        (pid_file.parent / ".s.PGSQL.5432.lock").write_text(f"{bystander.pid}\n")
        os.chown(pid_file, owner, owner)
        assert start().ready().get("/health").status_code == 200
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_postgres_killed_without_a_word(start: Start) -> None:
    first = start().ready()
    processes = first.processes()
    for process in processes:
        process.kill()
    first.ended()
    first.assert_all_gone(processes)
    assert start().ready().get("/health").status_code == 200


def test_an_initdb_that_was_interrupted(start: Start, tmp_path: Path) -> None:
    half_made = tmp_path / "data" / "postgres.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    assert start(fresh=True).ready().get("/health").status_code == 200


# --- What does ------------------------------------------------------------------------------------


def test_a_busy_port(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refusal(start, PORT=str(port)).startswith(f"PORT: {port} is in use")


def test_a_host_that_is_not_this_machines(start: Start) -> None:
    assert refusal(start, HOST="203.0.113.7").startswith("HOST: ")


def test_a_data_dir_that_cannot_be_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refusal(start, DATA_DIR=str(tmp_path / "file")).startswith("DATA_DIR: ")


def test_a_data_dir_in_use(start_shared: Start, gateway: Gateway) -> None:
    line = refusal(start_shared, DATA_DIR=str(gateway.data_dir))
    assert line.startswith("DATA_DIR: ")
    assert str(gateway.process.pid) in line
    assert gateway.get("/health").status_code == 200


def test_a_wrong_encryption_key_changes_nothing(start: Start) -> None:
    first = start().ready()
    first.signal(signal.SIGTERM)
    first.ended()
    wrong = "A" * 43 + "="
    assert refusal(start, ENCRYPTION_KEY=wrong).startswith("ENCRYPTION_KEY: ")
    assert start().ready().get("/health").status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_WORKERS", "2"),  # without REDIS_URL
        ("PORT", "http"),
        ("SERVER", "gunicorn"),
        ("BACKEND_KIND", "skynet"),
        ("DATABASE_URL", "mysql://localhost/gateway"),
    ],
)
def test_a_wrong_variable(start: Start, name: str, value: str) -> None:
    line = refusal(start, **{name: value})
    assert line.startswith(f"{name}: ")


def test_a_management_command_starts_the_database_and_stops_it(tmp_path: Path) -> None:
    furnish(tmp_path / "data")
    run = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        env={**os.environ, "DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    pid_file = tmp_path / "data" / "postgres" / "postmaster.pid"
    assert not pid_file.exists()


def test_a_command_beside_the_gateway_leaves_its_database_running(gateway: Gateway) -> None:
    postmaster = gateway.postmaster()
    subprocess.run(
        [sys.executable, "manage.py", "showmigrations"],
        env={**os.environ, "DATA_DIR": str(gateway.data_dir)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert running(postmaster)
    assert gateway.get("/health").json()["checks"]["database"] == "ok"


def test_runserver_works_on_the_embedded_database(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "manage.py", "runserver", "--noreload", str(port)],
        env={**os.environ, "DATA_DIR": str(tmp_path / "data")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    try:
        wait_until(answers, 60, "runserver")
    finally:
        server.terminate()
        server.wait(10)
    wait_until(
        lambda: not any(str(tmp_path) in " ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])),
        10,
        "the database's end",
    )
