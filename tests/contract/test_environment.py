"""The environment of a node: written by `lmjob`, read by the launcher."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrainer.contract import environment as names
from lmtrainer.contract.environment import NodeEnvironment, from_env, to_env

NODE = NodeEnvironment(job_uid="job-a", attempt=1)

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
counts = st.integers(1, 1000)
ports = st.integers(0, 65535)
seconds = st.floats(0, 1e6)


@st.composite
def nodes(draw):
    nnodes = draw(counts)
    return NodeEnvironment(
        job_uid=draw(words),
        attempt=draw(counts),
        node_rank=draw(st.integers(0, nnodes - 1)),
        nnodes=nnodes,
        nproc_per_node=draw(counts),
        master_addr=draw(words),
        master_port=draw(ports),
        status_port=draw(ports),
        claims=draw(st.dictionaries(words, words, max_size=3)),
        node_dir=draw(words),
        termination_log=draw(words),
        grace_seconds=draw(seconds),
        rendezvous_seconds=draw(seconds),
    )


@given(nodes())
def test_a_node_reads_what_was_written_for_it(node):
    env = to_env(node)
    assert from_env(env) == node
    assert all(isinstance(value, str) for value in env.values())


def test_every_field_of_a_node_is_written():
    assert len(to_env(NODE)) == len(dataclasses.fields(NODE)) + 1, "and the version"


OPTIONAL = {names.CONTRACT, names.CLAIMS}


@pytest.mark.parametrize("name", sorted(set(to_env(NODE)) - OPTIONAL))
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(name, value):
    env = {**to_env(NODE), name: value}
    if value is None:
        del env[name]
    with pytest.raises(ValueError, match=f"^{name}: must be set; start nodes through"):
        from_env(env)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (names.ATTEMPT, "0"),
        (names.ATTEMPT, "1.5"),
        (names.ATTEMPT, "²"),
        (names.ATTEMPT, "9" * 5000),
        (names.NODE_RANK, "-1"),
        (names.NODE_RANK, "1"),
        (names.NNODES, "two"),
        (names.NPROC_PER_NODE, "0"),
        (names.MASTER_PORT, "65536"),
        (names.STATUS_PORT, " 80"),
        (names.CLAIMS, "{"),
        (names.CLAIMS, "[]"),
        (names.CLAIMS, '{"a": 1}'),
        (names.GRACE_SECONDS, "nan"),
        (names.GRACE_SECONDS, "-1"),
        (names.RENDEZVOUS_SECONDS, "soon"),
        (names.RENDEZVOUS_SECONDS, "inf"),
        (names.CONTRACT, "2"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        from_env({**to_env(NODE), name: value})
    assert value[:20] in str(caught.value)


def test_what_a_node_is_told_may_not_be_set_by_a_user():
    reserved = (*names.RESERVED_PREFIXES,)
    for name in (*to_env(NODE), names.DIE_WITH_PARENT):
        assert name in names.RESERVED_NAMES or name.startswith(reserved)
