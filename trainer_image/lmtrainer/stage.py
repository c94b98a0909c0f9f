"""What a stage is given: the one argument of `lmtrainer.stages.<stage>.run`.

Built by `launch.rank` in each rank's process. A stage reads nothing else of its surroundings: no
environment variable, no command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lmtrainer.config import ResolvedRun
from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.progress import RankReports


@dataclass
class StopRequest:
    """Set once, by a signal handler. Whoever sees it saves and raises `InterruptedRunError`."""

    requested: bool = False


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """One rank's part of a stage."""

    stage: Stage
    run: ResolvedRun
    node: NodeEnvironment
    """`master_port` is the real one here, never 0."""
    reports: RankReports
    rank: int = 0
    """Over all nodes."""
    local_rank: int = 0
    """On this node; also the number of its GPU."""
    world_size: int = 1
    stop: StopRequest = field(default_factory=StopRequest)
