"""A world of one pays for no group; larger ones are seen in launch/test_groups."""

import contextlib
import subprocess
import sys

import pytest
import torch

from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.faults import InterruptedRunError
from lmtrainer.parallel.world import World, join, leave
from lmtrainer.progress import RankReports
from lmtrainer.stage import StageContext, StopRequest


@pytest.fixture
def context(tmp_path, run_config):
    def make(**fields):
        node = NodeEnvironment(job_uid="a", attempt=1, node_dir=str(tmp_path), master_port=1)
        reports = RankReports(tmp_path, 0)
        return StageContext(stage="train", run=run_config(), node=node, reports=reports, **fields)

    return make


def test_a_rank_alone_joins_without_a_store_or_a_process_group(context):
    world = join(context())
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert (world.rank, world.local_rank, world.world_size) == (0, 0, 1)
    assert world.is_leader
    assert world.device.type == expected
    assert not torch.distributed.is_initialized()
    leave(world)


def test_only_rank_0_leads():
    device = torch.device("cpu")
    assert [World(rank, 0, 2, device).is_leader for rank in range(2)] == [True, False]


def test_a_rank_that_was_asked_to_end_does_not_wait_and_gave_a_sign_of_life(context, tmp_path):
    with pytest.raises(InterruptedRunError):
        join(context(world_size=2, stop=StopRequest(requested=True)))
    assert (tmp_path / "heartbeat-0").exists()


def test_leaving_ends_the_group_but_not_on_the_way_out_of_an_error():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    world = World(0, 0, 2, torch.device("cpu"))
    with pytest.raises(KeyError), contextlib.ExitStack() as stack:
        stack.callback(leave, world)
        raise KeyError
    assert torch.distributed.is_initialized()
    leave(world)
    assert not torch.distributed.is_initialized()
    leave(world)


def test_the_launchers_half_of_the_rendezvous_loads_no_torch():
    code = "import lmtrainer.launch.node, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
