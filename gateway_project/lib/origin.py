"""The address that clients reach this instance at, for the snippets that a page shows."""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest


def base_url(request: HttpRequest) -> str:
    """`PUBLIC_URL` where the browser came by it (it knows of TLS in front of us), else what the browser asked for."""
    public = urlsplit(settings.PUBLIC_URL)
    host = request.get_host()
    return f"{public.scheme}://{public.netloc}" if public.netloc == host else f"{request.scheme}://{host}"
