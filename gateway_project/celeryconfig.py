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

beat_schedule: dict[str, dict[str, Any]] = {
    "discover-fleet": {
        "task": "routing.tasks.discover_fleet",
        "schedule": 30.0,
        # One that waited for a busy worker is of no use to anybody.
        "options": {"expires": 30},
    },
    "discover-clouds": {
        "task": "routing.tasks.discover_clouds",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "delete-expired-answers": {
        "task": "routing.tasks.delete_expired_answers",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "keep-ledger": {
        "task": "analytics.tasks.keep_ledger",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "deliver-webhooks": {
        # Raising an event sends the task, too; this finds what is to be tried again.
        "task": "keys.tasks.deliver_webhooks",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "delete-old-deliveries": {
        "task": "keys.tasks.delete_old_deliveries",
        "schedule": 24 * 3600.0,
        "options": {"expires": 3600},
    },
    "delete-expired-sessions": {
        "task": "accounts.tasks.delete_expired_sessions",
        "schedule": 6 * 3600.0,
        "options": {"expires": 3600},
    },
}
