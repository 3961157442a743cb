"""Seals what was asked and answered, for workspaces that keep it, and opens it. The ledger has ciphertext alone."""

import logging

from analytics import content
from keys import vault
from routing.exchange import Exchange

logger = logging.getLogger(__name__)


def sealed(exchange: Exchange) -> bytes | None:
    """The exchange's request and answer as ciphertext; None where its workspace keeps none.

    On the event loop: some tens of microseconds, and ten milliseconds for the largest that is kept.
    """
    caller = exchange.caller
    if caller is None or not caller.content_kept:
        return None
    answer = exchange.whole or b"".join(exchange.streamed)
    try:
        return vault.seal_bytes(content.packed(exchange.body, answer))
    except TypeError:  # the record must be entered all the same
        logger.warning("the content of request %s cannot be kept: it is no JSON", exchange.id)
        return None


def opened(ciphertext: bytes) -> bytes:
    """What was sealed. Raises `content.Unreadable`."""
    try:
        return vault.open_bytes(ciphertext)
    except vault.VaultError:
        raise content.Unreadable from None
