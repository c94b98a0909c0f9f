"""How many scores of the vocabulary are made at once, for whoever makes them, and for the plan,
which estimates the memory."""

from __future__ import annotations

SCORES_AT_ONCE = 1 << 24
"""Most scores of the vocabulary that are in memory, unless those of one position are more."""


def scores_at_once(targets: int, vocabulary: int, parts: int) -> int:
    """Positions whose scores of every token are computed at once."""
    return max(1, min(-(-targets // parts), SCORES_AT_ONCE // vocabulary))
