"""`python -m bench.rag_worker`: the embedding worker without a broker: it serves the models and ingests what is due."""

import threading
import time

import django

THREADS = 2


def main() -> None:
    """Never returns: whoever began it ends it."""
    django.setup()
    from rag.embedding import worker
    from rag.ingest import rounds

    worker.start()

    def ingest() -> None:
        while True:
            rounds.work()
            time.sleep(0.1)

    # Daemons: SIGTERM ends the process at once, as death does.
    threads = [threading.Thread(target=ingest, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
