"""`lmjob cp` before it reaches a cluster: its command line, its pod, and why a pod does not run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lmjob.cli import main
from lmjob.cli.copypod import cause, is_running
from lmjob.cli.cp import _place
from lmjob.cli.kubectl import reason
from lmjob.render.closed import NotAllowedError
from lmjob.render.copypod import copy_pod
from lmjob.render.template import ShapeError


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["here", "there"], "one of SRC and DST must be pvc://"),
        (["pvc://a/x", "pvc://b/x"], "one of SRC and DST must be pvc://"),
        (["absent", "pvc://a/x"], "absent: there is no such file or folder"),
        (["pvc://a/../x", "here"], 'remove ".."'),
        (["pvc:/a/x", "here"], "lacks a slash"),
        (["gs://a/x", "here"], "has no known scheme"),
        (["sample://jargon", "here"], "must be pvc://CLAIM/PATH or a path here"),
        (["--timeout", "0", "here", "pvc://a/x"], "--timeout: must be at least 1 second"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").touch()
    assert main(["cp", *words]) == 65
    assert told in capsys.readouterr().err


def test_without_kubectl_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["cp", str(tmp_path), "pvc://corpus/x"]) == 70
    assert "kubectl is not on PATH" in capsys.readouterr().err


def test_without_a_cluster_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\necho 'error: no way to the server' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert main(["cp", str(tmp_path), "pvc://corpus/x"]) == 70
    said = capsys.readouterr().err
    assert "lmjob cp: the pod for the copy cannot be made: no way to the server" in said


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("text", "text"),
        ("a/text/", "text"),
        ("text/.", "."),
        (".", "."),
        ("..", "."),
        ("/", "."),
        ("pvc://corpus/wiki/", "wiki"),
        ("pvc://corpus/wiki/.", "."),
        ("pvc://corpus", "corpus"),
        ("pvc://corpus/", "corpus"),
    ],
)
def test_a_copy_is_called_as_cp_calls_it(text: str, name: str) -> None:
    assert _place(text).name == name


def pod_with(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "lmjob-cp-0",
        "image": "lmtrainer:1",
        "claim": "corpus",
        "read_only": True,
        "seconds": 60,
    }
    return copy_pod(**{**values, **changes})


def test_the_pod_may_do_nothing_but_hold_the_claim() -> None:
    pod = pod_with()
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == 60
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["volumes"] == [
        {"name": "claim", "persistentVolumeClaim": {"claimName": "corpus", "readOnly": True}}
    ]
    (mount,) = container["volumeMounts"]
    assert mount == {"name": "claim", "mountPath": "/mnt/claims/corpus", "readOnly": True}


def test_the_claim_can_be_written_to_only_for_a_copy_into_it() -> None:
    spec = pod_with(read_only=False)["spec"]
    assert spec["containers"][0]["volumeMounts"][0]["readOnly"] is False
    assert spec["volumes"][0]["persistentVolumeClaim"]["readOnly"] is False


@pytest.mark.parametrize("text", ['x", "hostNetwork": true, "a": "', "{{ 7 * 7 }}", "\ue000name"])
def test_no_text_of_a_user_becomes_structure(text: str) -> None:
    try:
        pod = pod_with(image=text, claim=text)
    except ShapeError:
        return
    assert pod["spec"]["containers"][0]["image"] == text
    assert pod["spec"].keys() == pod_with()["spec"].keys()


def test_a_pod_without_an_image_is_not_sent() -> None:
    with pytest.raises(NotAllowedError, match="image"):
        pod_with(image="")


def pod_status(**status: Any) -> dict[str, Any]:
    return {"status": status}


def waits(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod_status(phase="Pending", containerStatuses=[{"image": "a/b:1", "state": state}])


def unscheduled(message: str) -> dict[str, Any]:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    return pod_status(phase="Pending", conditions=[condition])


@pytest.mark.parametrize(
    ("pod", "words", "hopeless"),
    [
        (pod_status(), "", False),
        (waits("ContainerCreating"), "", False),
        (waits("ErrImagePull", "denied"), "image a/b:1: ErrImagePull: denied", False),
        (waits("ImagePullBackOff", "denied"), "image a/b:1: ImagePullBackOff: denied", True),
        (waits("InvalidImageName", "bad"), "image a/b:1: InvalidImageName: bad", True),
        (unscheduled("0/2 nodes: no memory"), "0/2 nodes: no memory", False),
        (
            unscheduled('0/2 nodes: persistentvolumeclaim "x" not found. not found'),
            'persistentvolumeclaim "x" not found',
            True,
        ),
        (
            pod_status(phase="Failed", reason="DeadlineExceeded", message="too long"),
            "the pod ended: too long",
            True,
        ),
    ],
)
def test_why_a_pod_does_not_run(pod: dict[str, Any], words: str, hopeless: bool) -> None:
    assert cause(pod) == (words, hopeless)
    assert not is_running(pod)


def test_a_pod_runs_when_its_container_does() -> None:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    assert is_running(pod_status(phase="Running", containerStatuses=[{"state": state}]))


def test_the_reason_of_kubectl_is_its_first_line_that_says_something() -> None:
    told = "\nthere is no wiki in the claim\ncommand terminated with exit code 65\n"
    assert reason(told) == "there is no wiki in the claim"
    assert reason("") == "no reason was given"
