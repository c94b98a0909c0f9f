"""Which rank hangs: ages of signs of life and stacks -> the culprit, in words. Pure.

When one rank hangs, all others of its group soon wait for it and are as silent: the stacks tell
them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from lmtrainer.faults import HungRankError, PeerLostError
from lmtrainer.launch.stacks import Stack

GROUP_SECONDS = 240.0
"""Without a sign of life a rank of a group hangs: a little sooner than its peers give it up."""
ALONE_SECONDS = 1800.0
"""A single rank holds nobody up."""


def limit(configured: int | None, world_size: int) -> float:
    """Seconds without a sign of life until a rank hangs; 0 for ever."""
    if configured is not None:
        return float(configured)
    return GROUP_SECONDS if world_size > 1 else ALONE_SECONDS


def verdict(
    silent: Mapping[int, float], stacks: Mapping[int, Stack], *, world_size: int, everybody: bool
) -> Exception:
    """`silent`: rank -> seconds since its sign of life, of those beyond the limit. `everybody`: all
    ranks of the group are on this node."""
    culprits = [rank for rank in silent if world_size == 1 or not stacks[rank].waits]
    if not culprits and not everybody:
        ranks = ", ".join(map(str, silent))
        seconds = max(silent.values())
        return PeerLostError(f"rank {ranks} has waited {seconds:.0f} s for a rank of another node")
    culprits = culprits or list(silent)
    told = [
        f"rank {rank} has given no sign of life for {silent[rank]:.0f} s: {stacks[rank]}"
        for rank in culprits
    ]
    return HungRankError("; ".join(told), rank=culprits[0])
