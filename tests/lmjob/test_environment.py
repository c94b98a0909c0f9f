"""What each node of an attempt is told, whatever the backend."""

from __future__ import annotations

import dataclasses

from lmjob.core.environment import Place, node_environment, variables
from lmtrainer.contract.environment import from_env

PLACE = Place(
    master_addr="127.0.0.1",
    master_port=12345,
    status_port=0,
    node_dir="/run/node",
    termination_log="/run/node/termination.json",
    claims={"corpus": "/text"},
)


def told(plan, index, **env):
    stage = plan.stage("train")
    replica = dataclasses.replace(stage.replicas[index], env=env)
    return variables(replica, node_environment(plan, stage, replica, 3, PLACE))


def test_a_node_knows_its_place_in_the_group(plan_of):
    node = from_env(told(plan_of(workers=2), 2))
    assert (node.node_rank, node.nnodes, node.world_size) == (2, 3, 3)
    assert (node.job_uid, node.attempt) == (plan_of().job.uid, 3)
    assert (node.master_addr, node.master_port) == ("127.0.0.1", 12345)
    assert node.claims == {"corpus": "/text"}
    assert (node.node_dir, node.termination_log) == ("/run/node", "/run/node/termination.json")


def test_a_stage_of_one_node_is_a_group_of_one(plan_of):
    plan = plan_of()
    stage = plan.stage("prepare")
    node = node_environment(plan, stage, stage.leader, 1, PLACE)
    assert (node.node_rank, node.nnodes, node.is_master) == (0, 1, True)


def test_the_launcher_ends_its_ranks_before_it_is_killed_itself(plan_of):
    plan = plan_of(grace_seconds=30.0, startup_seconds=77.0)
    node = from_env(told(plan, 0))
    assert node.grace_seconds == 24.0
    assert node.rendezvous_seconds == 77.0


def test_a_users_variable_is_literal_and_never_wins_over_the_contract(plan_of):
    env = told(plan_of(), 1, NCCL_DEBUG="$(WARN)", NODE_RANK="7")
    assert env["NCCL_DEBUG"] == "$(WARN)"
    assert env["NODE_RANK"] == "1"
