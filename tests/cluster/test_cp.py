"""`lmjob cp` through real pods: what is copied arrives whole under its name, or not at all.

Needs nodes that see this machine's disk (the volume is a folder of it) and have the trainer's
image.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CLAIM = "corpus"
LARGE = 3 << 30
"""Bytes of a file without content: its copy takes long enough to be broken."""


def kubectl(*words: str, given: Any = None, check: bool = True) -> str:
    done = subprocess.run(
        ["kubectl", *words],
        input=None if given is None else json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Claim:
    """A volume claim and the folder of this machine that it is."""

    namespace: str
    folder: Path

    def start(self, *words: str) -> subprocess.Popen[str]:
        # As from a terminal, also where these tests run in the background and ignore Ctrl-C.
        terminal = ["env", "--default-signal=INT"]
        command = [*terminal, sys.executable, "-m", "lmjob", "cp", "-n", self.namespace, *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def cp(self, *words: str, code: int = 0) -> str:
        """What `lmjob cp` said."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        return out + err

    def pods(self) -> list[Any]:
        """Those that are not on their way out."""
        found = json.loads(kubectl("get", "pods", "-n", self.namespace, "-o", "json"))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.folder.iterdir())


@pytest.fixture(scope="module")
def cluster(kubeconfig: Path) -> None:
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    if not any("kwok.x-k8s.io/node" not in n["metadata"].get("annotations", {}) for n in nodes):
        pytest.skip("needs real nodes: bring the cluster up with --nodes 2")


@pytest.fixture(scope="module")
def claim(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claim]:
    """A namespace of the `restricted` level with a claim that everybody may write to."""
    name = f"cp-test-{secrets.token_hex(3)}"
    folder = tmp_path_factory.mktemp("claim")
    folder.chmod(0o777)
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    size = {"storage": "10Gi"}
    modes = ["ReadWriteMany"]
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": restricted},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": size,
                "accessModes": modes,
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "hostPath": {"path": str(folder), "type": "Directory"},
                "claimRef": {"namespace": name, "name": CLAIM},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": name},
            "spec": {
                "accessModes": modes,
                "storageClassName": "",
                "volumeName": name,
                "resources": {"requests": size},
            },
        },
    ]
    kubectl("create", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": objects})
    try:
        yield Claim(name, folder)
    finally:
        kubectl("delete", "namespace", name, "--timeout=60s", check=False)
        kubectl("delete", "pv", name, "--timeout=30s", check=False)


@pytest.fixture
def fresh(claim: Claim) -> Iterator[Claim]:
    """The claim, empty."""
    for name in claim.names():
        subprocess.run(["rm", "-rf", str(claim.folder / name)], check=True)
    yield claim


def tree(folder: Path) -> dict[str, object]:
    """Everything below a folder: names, kinds, rights to execute, contents."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = (os.access(path, os.X_OK), path.stat().st_mode & 0o100, path.read_bytes())
    return found


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A folder with all that a folder may have."""
    folder = tmp_path / "text"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "deep" / "deeper" / "large.bin").write_bytes(secrets.token_bytes(5_000_000))
    (folder / "nothing").touch()
    (folder / "-rf").write_text("a name like an option\n")
    (folder / "two words; $(id) 'quoted'").write_text("a name like a command\n")
    (folder / "ภาษาไทย.txt").write_text("ข้อความ\n")
    (folder / ("long" * 50)).write_text("a name longer than the old format has room for\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "deep" / "link").symlink_to("../nothing")
    return folder


def test_a_folder_goes_there_and_comes_back_byte_by_byte(
    fresh: Claim, text: Path, tmp_path: Path
) -> None:
    said = fresh.cp(str(text), f"pvc://{CLAIM}/kept/wiki")
    assert re.search(r"copied 8 files, 5,000,1\d\d bytes to pvc://corpus/kept/wiki \(sha256", said)
    assert tree(fresh.folder / "kept" / "wiki") == tree(text)
    back = tmp_path / "back"
    there, here = said, fresh.cp(f"pvc://{CLAIM}/kept/wiki", str(back))
    assert tree(back) == tree(text)
    assert there.split("sha256")[1] == here.split("sha256")[1]
    assert fresh.pods() == []


def test_names_are_given_as_by_cp_r(fresh: Claim, tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.mkdir()
    (source / "x").write_text("1")
    fresh.cp(str(source), f"pvc://{CLAIM}/new")
    fresh.cp(str(source / "x"), f"pvc://{CLAIM}/new/y")
    fresh.cp(str(source / "x"), f"pvc://{CLAIM}/other/")
    fresh.cp(str(source), f"pvc://{CLAIM}/new")
    made = ["new", "new/a", "new/a/x", "new/x", "new/y", "other", "other/x"]
    assert sorted(tree(fresh.folder)) == made
    (source / "x").write_text("2")
    fresh.cp(f"{source}/.", f"pvc://{CLAIM}/new")
    assert (fresh.folder / "new" / "x").read_text() == "2"
    assert (fresh.folder / "new" / "y").read_text() == "1"
    fresh.cp(f"pvc://{CLAIM}/new/a", f"{tmp_path}/a")
    assert (tmp_path / "a" / "a" / "x").read_text() == "1"
    fresh.cp(f"pvc://{CLAIM}", f"{tmp_path}/whole/")
    assert tree(tmp_path / "whole" / CLAIM) == tree(fresh.folder)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, LARGE)
    return path


def under_way(folder: Path) -> bool:
    """Something of a copy has arrived, and it has no name yet."""
    parts = [path for path in folder.rglob("*") if ".tmp-copy-" in str(path) and path.is_file()]
    return any(path.stat().st_size > 1_000_000 for path in parts)


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def interrupt(process: subprocess.Popen[str], claim: Claim) -> None:
    process.send_signal(signal.SIGINT)


def order_to_end(process: subprocess.Popen[str], claim: Claim) -> None:
    process.send_signal(signal.SIGTERM)


def break_the_line(process: subprocess.Popen[str], claim: Claim) -> None:
    """Kill the kubectl that carries the copy."""
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    for child in listed.stdout.split():
        os.kill(int(child), signal.SIGKILL)


def take_the_pod(process: subprocess.Popen[str], claim: Claim) -> None:
    (pod,) = claim.pods()
    kubectl(
        "delete", "pod", pod["metadata"]["name"], "-n", claim.namespace, "--now", "--wait=false"
    )


BREAKS = [
    (interrupt, 130, "stopped; nothing of the copy was kept"),
    (order_to_end, 143, "stopped; nothing of the copy was kept"),
    (break_the_line, 70, ""),
    (take_the_pod, 70, ""),
]


@pytest.mark.parametrize(("act", "code", "words"), BREAKS)
def test_a_broken_copy_into_a_claim_leaves_what_was_there(
    fresh: Claim, large: Path, act: Any, code: int, words: str
) -> None:
    (fresh.folder / "wiki").write_text("as before")
    with fresh.start(str(large), f"pvc://{CLAIM}/wiki") as process:
        until(lambda: under_way(fresh.folder), "something arrives")
        assert (fresh.folder / "wiki").read_text() == "as before"
        act(process, fresh)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.startswith("lmjob cp: ") and words in err
    assert fresh.pods() == []
    assert (fresh.folder / "wiki").read_text() == "as before"
    if act is not take_the_pod:  # whoever takes a pod at once takes its time to clean up, too
        until(lambda: fresh.names() == ["wiki"], "what had arrived is removed")


@pytest.mark.parametrize(("act", "code", "words"), BREAKS)
def test_a_broken_copy_out_of_a_claim_leaves_nothing(
    fresh: Claim, large: Path, tmp_path: Path, act: Any, code: int, words: str
) -> None:
    large.rename(fresh.folder / "large")
    (fresh.folder / "large").chmod(0o644)
    here = tmp_path / "here"
    here.mkdir()
    with fresh.start(f"pvc://{CLAIM}/large", str(here / "model")) as process:
        until(lambda: under_way(here), "something arrives")
        act(process, fresh)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.startswith("lmjob cp: ") and words in err
    assert list(here.iterdir()) == []
    assert fresh.pods() == []


def test_a_pod_that_nobody_deletes_ends_by_itself(fresh: Claim, large: Path) -> None:
    with fresh.start("--timeout", "20", str(large), f"pvc://{CLAIM}/wiki") as process:
        until(lambda: under_way(fresh.folder), "something arrives")
        process.kill()
        process.communicate()
    (pod,) = fresh.pods()
    assert pod["spec"]["activeDeadlineSeconds"] == 20
    until(lambda: fresh.names() == [], "what had arrived is removed")
    until(lambda: fresh.pods()[0]["status"]["phase"] == "Failed", "it ends", seconds=40)
    kubectl("delete", "pod", pod["metadata"]["name"], "-n", fresh.namespace, "--now")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--image", "127.0.0.1:9/none:1", "{here}", "pvc://corpus/x"], "image 127.0.0.1:9/none:1"),
        (["{here}", "pvc://absent/x"], 'persistentvolumeclaim "absent" not found'),
        (["pvc://corpus/absent", "{here}/x"], "there is no absent in the claim"),
        (["-n", "cp-test-no-such-namespace", "{here}", "pvc://corpus/x"], "not found"),
        (["--context", "nowhere", "{here}", "pvc://corpus/x"], 'context "nowhere" does not exist'),
    ],
)
def test_what_is_wrong_is_said_soon(
    fresh: Claim, tmp_path: Path, words: list[str], told: str
) -> None:
    begin = time.monotonic()
    said = fresh.cp(*(word.format(here=tmp_path) for word in words), code=70)
    assert told in said
    assert time.monotonic() - begin < 45
    assert fresh.pods() == []
    assert fresh.names() == []


def test_a_link_in_the_claim_does_not_lead_out_of_it(fresh: Claim, tmp_path: Path) -> None:
    (fresh.folder / "way").symlink_to("/tmp")
    (fresh.folder / "home").symlink_to("/etc/passwd")
    secret = tmp_path / "x"
    secret.write_text("x")
    assert "leads out of the claim" in fresh.cp(str(secret), f"pvc://{CLAIM}/way", code=70)
    assert "leads out of the claim" in fresh.cp(f"pvc://{CLAIM}/home", f"{tmp_path}/y", code=70)
    assert not (tmp_path / "y").exists()
