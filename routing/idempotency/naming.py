"""What an idempotency key and the request that carries it are known by: digests, so that neither is kept."""

import hashlib
from collections.abc import Mapping

import orjson

from gateway_project.lib.errors import InvalidRequest
from routing.endpoints import Endpoint
from routing.parse import HEADER_FIELDS

HEADER = b"idempotency-key"
LONGEST = 255


def name_in(headers: Mapping[bytes, bytes]) -> bytes:
    """The digest of the key that `headers` carry. Raises `InvalidRequest`, naming the header."""
    value = headers[HEADER]
    if not 1 <= len(value) <= LONGEST:
        raise InvalidRequest(
            f"Idempotency-Key: must have 1 to {LONGEST} characters; it has {len(value)}.", param="idempotency-key"
        )
    if not all(0x20 <= character < 0x7F for character in value):
        raise InvalidRequest("Idempotency-Key: must be printable ASCII.", param="idempotency-key")
    return hashlib.sha256(value).digest()


def fingerprint(endpoint: Endpoint, raw: bytes, headers: Mapping[bytes, bytes]) -> bytes:
    """A digest of what is asked: the path, the gateway fields in headers, and the JSON body, however it is written.

    The order of an object's members and the space between them make no difference. `raw` is valid JSON.
    """
    try:
        canonical = orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # it reads what is nested too deeply for it to write: then byte for byte
        canonical = raw
    digest = hashlib.sha256(endpoint.public_path.encode())
    for header in sorted(HEADER_FIELDS):
        digest.update(b"\0" + headers.get(header, b"").lower())
    digest.update(b"\0" + canonical)
    return digest.digest()
