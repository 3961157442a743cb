"""Ids tell when they were made, and follow each other."""

import time
from uuid import UUID

from gateway_project.lib.ids import uuid7, uuid7_text


def test_ids_of_one_process_follow_each_other() -> None:
    made = [uuid7() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_both_are_version_7_and_tell_the_time() -> None:
    for made in (uuid7(), UUID(uuid7_text())):
        assert (made.version, made.variant) == (7, "specified in RFC 4122")
        assert abs((made.int >> 80) / 1000 - time.time()) < 5
