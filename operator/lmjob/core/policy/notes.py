"""Progress worth remembering: a group that dies may take its last word about it along."""

from __future__ import annotations

import dataclasses

from lmjob.core.memory import Memory
from lmjob.core.observed import Seen

NOTE_SECONDS = 15.0
"""Least time between two notes: a note is a durable write."""


def worth_noting(memory: Memory, seen: Seen, now: float) -> bool:
    return seen.durable != memory.durable and now >= memory.noted_at + NOTE_SECONDS


def noted(memory: Memory, seen: Seen, now: float) -> Memory:
    return dataclasses.replace(memory, durable=seen.durable, noted_at=now)
