"""What the pods of a job see of its volumes, and who may write there."""

from __future__ import annotations

import re

import pytest

from lmjob.render import config_map
from lmtrainer.contract.environment import from_env
from tests.lmjob.rendered import container_of, env_of, plan_with, pods_of

CLAIMS = {
    "spec.data.train": ["pvc://corpus.v1/wiki"],
    "spec.data.cache": "pvc://cache/sets",
    "spec.output.to": "pvc://results/good",
}


def claims_of(found):
    """Claim -> is it mounted read only? Each is mounted once."""
    mounts = [m for m in container_of(found)["volumeMounts"] if "claims" in m["mountPath"]]
    claims = {m["mountPath"].rpartition("/")[2]: m["readOnly"] for m in mounts}
    assert len(claims) == len(mounts)
    return claims


def test_folders_that_the_launcher_is_told_of_are_mounted():
    for found in pods_of(plan_with(CLAIMS)).values():
        node, container = from_env(env_of(found)), container_of(found)
        mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
        volumes = {v["name"]: v for v in found["spec"]["volumes"]}
        assert {m["name"] for m in mounts.values()} == volumes.keys()
        assert all(re.fullmatch("[a-z0-9-]{1,63}", name) for name in volumes)
        for claim, folder in node.claims.items():
            source = volumes[mounts[folder]["name"]]["persistentVolumeClaim"]
            assert source["claimName"] == claim
        for folder in (node.node_dir, "/tmp", "/dev/shm"):
            assert "emptyDir" in volumes[mounts[folder]["name"]]
            assert not mounts[folder].get("readOnly")
        assert mounts["/etc/lmtrainer"]["readOnly"]
        config = volumes[mounts["/etc/lmtrainer"]["name"]]["configMap"]
        assert config["name"] == config_map(plan_with(CLAIMS))["metadata"]["name"]
        assert config["items"] == [{"key": "config.json", "path": "config.json"}]
        assert node.termination_log == container["terminationMessagePath"]


@pytest.mark.parametrize(
    ("key", "writable"),
    [
        ("prepare-0", {"cache", "results"}),
        ("master-0", {"results"}),
        ("worker-0", set()),
        ("worker-1", set()),
        ("evaluate-0", {"results"}),
    ],
)
def test_a_claim_is_writable_only_for_those_who_write(key, writable):
    claims = claims_of(pods_of(plan_with(CLAIMS))[key])
    assert claims.keys() == {"corpus.v1", "cache", "results"}
    assert {claim for claim, read_only in claims.items() if not read_only} == writable


@pytest.mark.parametrize(
    ("cache", "writable"), [("pvc://cache/lm", {"cache"}), (None, {"results"})]
)
def test_a_node_that_helps_to_prepare_writes_only_where_the_dataset_lies(cache, writable):
    plan = plan_with({**CLAIMS, "spec.prepare.replicas": 2, "spec.data.cache": cache})
    claims = claims_of(pods_of(plan)["prepare-1"])
    assert {claim for claim, read_only in claims.items() if not read_only} == writable


def test_a_volume_is_read_only_as_a_whole_where_nobody_of_the_job_writes():
    for found in pods_of(plan_with(CLAIMS)).values():
        sources = [v.get("persistentVolumeClaim") for v in found["spec"]["volumes"]]
        whole = {s["claimName"]: s["readOnly"] for s in sources if s}
        assert whole == {"corpus.v1": True, "cache": False, "results": False}


def test_one_claim_for_all_is_written_by_leaders_and_read_by_workers():
    one = {name: "pvc://all/x" for name in ("spec.data.cache", "spec.output.to")}
    pods = pods_of(plan_with({"spec.data.train": ["pvc://all/text"], **one}))
    assert {key: claims_of(found) for key, found in pods.items()} == {
        "prepare-0": {"all": False},
        "master-0": {"all": False},
        "worker-0": {"all": True},
        "worker-1": {"all": True},
        "evaluate-0": {"all": False},
    }
