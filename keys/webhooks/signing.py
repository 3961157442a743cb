"""How messages are signed: the scheme of Standard Webhooks 1.0, for which receivers find libraries in every language.

The signature is over `<id>.<timestamp>.<body>`, HMAC-SHA256 with the bytes that `whsec_` is the base64 of.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import secrets

from keys.vault import Secret

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> Secret:
    """A secret for one webhook."""
    return Secret(PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def headers(secret: Secret, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that tell what message this is, when it was sent (Unix seconds), and that it is from here."""
    key = base64.b64decode(secret.reveal().removeprefix(PREFIX))
    content = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
