"""The Celery application: tasks that must not hold up a request, and those that run by the clock."""

import logging
import os
import threading
import warnings
from typing import Any

from celery import Celery, bootsteps
from celery.platforms import SecurityWarning
from celery.signals import beat_embedded_init

from gateway_project import broker, heartbeat
from gateway_project.heartbeat import EMBEDDER
from gateway_project.processes import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
# The web process ran Django's checks; here they would import every URL's view.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

# Root is common in containers, and no task unpickles anything.
warnings.filterwarnings("ignore", category=SecurityWarning)

logger = logging.getLogger(__name__)

EMBED_QUEUE = "embed"

broker.use()
app = Celery("gateway")
app.config_from_object("gateway_project.celeryconfig")
app.autodiscover_tasks()


@beat_embedded_init.connect
def end_with_the_worker(**_: Any) -> None:
    """The worker forks its beat, which would outlive a worker that is killed."""
    die_with_parent()


def holds_models(worker: Any) -> bool:
    """Whether this worker is the one that embeds: the other one has no use for models."""
    return EMBED_QUEUE in worker.app.amqp.queues.consume_from


class Embedding(bootsteps.StartStopStep):
    """The embedding models and the socket that they are asked on, in the worker that embeds documents."""

    def include_if(self, worker: Any) -> bool:
        return holds_models(worker)

    def start(self, worker: Any) -> None:
        from rag.embedding.worker import start

        self._service = start()

    def stop(self, worker: Any) -> None:
        self._service.stop()


class Heartbeat(bootsteps.StartStopStep):
    """Leaves a sign of life for `/health` every few seconds while the worker takes tasks.

    A thread of its own: the worker's timer, started for this, would hold up a stop for two seconds.
    """

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._stopped = threading.Event()
        self._name = EMBEDDER if holds_models(worker) else heartbeat.WORKER

    def start(self, worker: Any) -> None:
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def stop(self, worker: Any) -> None:
        self._stopped.set()

    def _beat(self) -> None:
        while not self._stopped.is_set():
            try:
                heartbeat.beat(self._name)
            except Exception:  # Redis may be away for a while
                logger.exception("the worker's sign of life could not be left")
            self._stopped.wait(heartbeat.SECONDS)


app.steps["worker"].update([Heartbeat, Embedding])
