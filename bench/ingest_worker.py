"""`python -m bench.ingest_worker`: ingests whatever is due, until it is killed. The database is DATA_DIR's."""

import time

import django


def main() -> None:
    """Never returns."""
    django.setup()
    from rag.ingest import rounds

    while True:
        rounds.work()
        time.sleep(0.2)


if __name__ == "__main__":
    main()
