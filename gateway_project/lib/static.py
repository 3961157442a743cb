"""URLs of static files that change when the file does, without a collect step."""

import functools
import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage


class VersionedStaticFiles(StaticFilesStorage):
    """`{% static "app.css" %}` becomes `/static/app.css?v=<eight characters of its digest>`."""

    def url(self, name: str | None) -> str:
        url = super().url(name)
        version = (_fresh_version if settings.DEBUG else _version)(name or "")
        return f"{url}?v={version}" if version else url


def _fresh_version(name: str) -> str:
    """The digest; empty for what is no file: admin asks for folders, too."""
    found = finders.find(name)
    path = Path(found) if isinstance(found, str) else None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8] if path and path.is_file() else ""


_version = functools.lru_cache(maxsize=4096)(_fresh_version)
