"""What a plan must know beyond the specification: the backend tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Read once, when a job is claimed; the plan keeps what followed from them."""

    default_image: str = ""
    """Image of jobs that name none; "" where nodes are plain processes."""
    cpus: int | None = None
    """Cores that all nodes share because they run on one machine; None in a cluster."""
