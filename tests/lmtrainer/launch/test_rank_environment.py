"""What a rank is told, for every rank of every node."""

import re
from pathlib import Path

from torch.distributed.elastic.agent.server import local_elastic_agent

from lmtrainer.contract.environment import RANK_NAMES, NodeEnvironment, from_env, to_env
from lmtrainer.launch.rank_environment import rank_environment


def told(local_rank=0, env=None, **fields):
    node = NodeEnvironment(job_uid="job-a", attempt=2, **fields)
    given = {**to_env(node), **(env or {})}
    return rank_environment(given, node, local_rank, master_port=4321, threads=2)


def test_ranks_count_through_all_nodes():
    found = [
        tuple(int(env[name]) for name in ("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE"))
        for node_rank in range(2)
        for env in (
            told(local, nnodes=2, nproc_per_node=3, node_rank=node_rank) for local in range(3)
        )
    ]
    assert found == [
        (0, 0, 0, 6),
        (1, 1, 0, 6),
        (2, 2, 0, 6),
        (3, 0, 1, 6),
        (4, 1, 1, 6),
        (5, 2, 1, 6),
    ]


def test_every_name_of_a_rank_is_set():
    assert set(RANK_NAMES) <= told().keys()


def test_a_rank_reads_its_node_with_the_real_port():
    assert from_env(told(master_port=0)).master_port == 4321


def test_a_group_on_this_machine_exchanges_over_loopback_unless_the_user_says_otherwise():
    assert told(master_addr="127.0.0.1")["GLOO_SOCKET_IFNAME"] == "lo"
    assert told(env={"GLOO_SOCKET_IFNAME": "eth7"})["GLOO_SOCKET_IFNAME"] == "eth7"
    assert "GLOO_SOCKET_IFNAME" not in told(master_addr="job-a-master.ns.svc")


def test_a_rank_is_told_all_that_torchrun_tells():
    """So that scripts written for torchrun run as ranks."""
    source = Path(local_elastic_agent.__file__).read_text()
    theirs = set(re.findall(r'^ {16}"([A-Z_]+)": ', source, re.MULTILINE))
    assert {"RANK", "TORCHELASTIC_USE_AGENT_STORE"} <= theirs
    # A switch of NCCL's whose default torch has raised since; a user may set it.
    assert theirs - set(told()) <= {"TORCH_NCCL_ASYNC_ERROR_HANDLING"}
