"""Celery's settings, for the worker and for whoever sends a task."""

from typing import Any

from django.conf import settings

FILESYSTEM = "filesystem://"

broker_url = settings.CELERY_BROKER_URL
broker_connection_retry_on_startup = True
broker_transport_options: dict[str, Any] = {}

if broker_url == FILESYSTEM:
    # Messages are files: no server to run, and a task survives a restart.
    _folders = {"data_folder_in": "messages", "data_folder_out": "messages", "control_folder": "control"}
    for _folder in _folders.values():
        (settings.BROKER_DIR / _folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    broker_transport_options = {option: str(settings.BROKER_DIR / folder) for option, folder in _folders.items()}
    broker_transport_options["polling_interval"] = 0.2

timezone = "UTC"
task_ignore_result = True
worker_enable_remote_control = False
# Logs go where Django's do.
worker_hijack_root_logger = False

# What needs an embedding model is done where the models are.
task_routes = {"rag.tasks.process_document": {"queue": "embed"}}

HOUR = 3600.0


def _every(seconds: float, task: str) -> dict[str, Any]:
    """Have `task` run every so many seconds; one that waited for a busy worker as long, or an hour, is dropped."""
    return {"task": task, "schedule": seconds, "options": {"expires": min(seconds, HOUR)}}


beat_schedule: dict[str, dict[str, Any]] = {
    "discover-fleet": _every(30, "routing.tasks.discover_fleet"),
    "discover-clouds": _every(60, "routing.tasks.discover_clouds"),
    "delete-expired-answers": _every(HOUR, "routing.tasks.delete_expired_answers"),
    "keep-ledger": _every(HOUR, "analytics.tasks.keep_ledger"),
    # What is due of documents, and what is left over of them.
    "hint-at-documents": _every(10, "rag.tasks.requeue_expired"),
    "sweep-files": _every(HOUR, "rag.tasks.sweep_files"),
    "maintain-store": _every(300, "rag.tasks.maintain_store"),
    # Raising an event sends the task, too; this finds what is to be tried again.
    "deliver-webhooks": _every(15, "keys.tasks.deliver_webhooks"),
    "delete-old-deliveries": _every(24 * HOUR, "keys.tasks.delete_old_deliveries"),
    "delete-expired-sessions": _every(6 * HOUR, "accounts.tasks.delete_expired_sessions"),
}
