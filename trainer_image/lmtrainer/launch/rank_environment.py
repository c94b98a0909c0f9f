"""What a rank is told by its environment. Pure. Callers: `ranks` tells, `rank` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lmtrainer.contract import environment as names
from lmtrainer.contract.environment import NodeEnvironment, is_loopback
from lmtrainer.contract.reports import error_file

LAUNCHER_PID = "LMTRAINER_LAUNCHER_PID"
"""Between launcher and rank only: whom the rank must not outlive."""


def rank_environment(
    env: Mapping[str, str],
    node: NodeEnvironment,
    local_rank: int,
    *,
    master_port: int,
    threads: int | None,
) -> dict[str, str]:
    """What a rank is told: the node's own environment and, as torchrun names them, its place."""
    rank = node.node_rank * node.nproc_per_node + local_rank
    told = {name: value for name, value in env.items() if name != names.DIE_WITH_PARENT}
    told.setdefault("PYTHONUNBUFFERED", "1")
    if is_loopback(node.master_addr):
        told.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if threads is not None:
        told["OMP_NUM_THREADS"] = str(threads)
    return told | {
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(node.world_size),
        "LOCAL_WORLD_SIZE": str(node.nproc_per_node),
        "GROUP_RANK": str(node.node_rank),
        "GROUP_WORLD_SIZE": str(node.nnodes),
        "ROLE_NAME": "default",
        "ROLE_RANK": str(rank),
        "ROLE_WORLD_SIZE": str(node.world_size),
        names.MASTER_ADDR: node.master_addr,
        names.MASTER_PORT: str(master_port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": str(node.attempt - 1),
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_RUN_ID": f"{node.job_uid}-{node.attempt}",
        "TORCHELASTIC_ERROR_FILE": str(Path(node.node_dir) / error_file(rank)),
    }
