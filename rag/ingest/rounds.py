"""Rounds of work: the worker takes what is due, fairly between workspaces, until its turn is over."""

import logging
import time

from django.db import close_old_connections, connection

from rag.ingest.claims import Claim, due, next_claim
from rag.ingest.documents import process
from rag.ingest.lease import free_leases_of_the_dead
from rag.ingest.reembedding import reembed
from rag.services.hints import work_is_there

logger = logging.getLogger(__name__)

# Seconds after which a task makes room for others in the queue, having sent itself a hint.
TURN = 120.0


def work() -> None:
    """Work at what is due, until nothing is or the turn is over."""
    ends = time.monotonic() + TURN
    try:
        free_leases_of_the_dead()
        while time.monotonic() < ends:
            claim = next_claim()
            if claim is None:
                return
            take(claim)
            close_old_connections()
        hint()
    finally:
        connection.close()  # into the pool


def take(claim: Claim) -> None:
    """Work at one claimed row. What goes wrong with it is written to it, and concerns no other."""
    with claim.lease.kept():
        if claim.kind == "rag_document":
            process(claim)
        else:
            reembed(claim)


def hint() -> None:
    """Send hints at rows that nobody is at: for each a message that some worker will read."""
    free_leases_of_the_dead()
    for id in due():
        work_is_there(id)
