"""The embedding service by itself, without Celery: for tests, measurements and looking into it.

python -m rag.embedding.serve      serves on settings.EMBED_SOCKET until TERM or Ctrl-C
"""

import os
import signal

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    django.setup()
    from django.conf import settings

    from rag.embedding import engine
    from rag.embedding.service import Service

    wanted = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    service = Service(settings.EMBED_SOCKET, engine.current)
    service.start()
    signal.sigwait(wanted)
    service.stop()
    # A thread that is still reading a model's weights would hold the process until it has read them.
    os._exit(0)


if __name__ == "__main__":
    main()
