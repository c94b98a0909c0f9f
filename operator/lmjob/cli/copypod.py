"""The pod of a copy: made, waited for, and always deleted. Caller: `lmjob cp`."""

from __future__ import annotations

import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from lmjob.cli.kubectl import Kubectl, KubectlError
from lmjob.render.copypod import copy_pod

START_SECONDS = 300.0
"""How long the pod may take to run: room for a large image and for a node that must be added."""
POLL_SECONDS = 0.3

_HOPELESS = (
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
"""What the kubelet waits for in vain."""


class PodError(Exception):
    """The pod does not run; the message says why."""


@contextmanager
def copying_pod(
    kubectl: Kubectl, *, image: str, claim: str, read_only: bool, seconds: int
) -> Iterator[str]:
    """A running pod with the claim, deleted at the end whatever happens. PodError if it does not
    run. If this process is killed, the pod ends itself after `seconds`."""
    name = f"lmjob-cp-{secrets.token_hex(4)}"
    pod = copy_pod(name=name, image=image, claim=claim, read_only=read_only, seconds=seconds)
    try:
        try:
            kubectl.ask("create", "-f", "-", given=pod)
        except KubectlError as fault:
            raise PodError(f"the pod for the copy cannot be made: {fault}") from fault
        _wait(kubectl, name, min(START_SECONDS, seconds))
        yield name
    finally:
        _delete(kubectl, name)


def _delete(kubectl: Kubectl, name: str) -> None:
    """Also when the pod is not there, as its creation may have been interrupted. A Ctrl-C meanwhile
    waits: neither this process nor kubectl may end before the pod is deleted."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        kubectl.ask("delete", "pod", name, "--wait=false", "--ignore-not-found")
    except KubectlError as fault:
        print(f"pod {name} could not be deleted ({fault}); it ends by itself", file=sys.stderr)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _wait(kubectl: Kubectl, name: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    said = ""
    while not is_running(pod := _look(kubectl, name)):
        words, hopeless = cause(pod)
        if hopeless or time.monotonic() > until:
            raise PodError(words or _event(kubectl, name) or f"it did not run in {seconds:g} s")
        if words and words != said:
            print(f"waiting for the pod {name}: {words}", file=sys.stderr)
            said = words
        time.sleep(POLL_SECONDS)


def _look(kubectl: Kubectl, name: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = kubectl.get("pod", name)
    except KubectlError as fault:
        raise PodError(f"pod {name} cannot be looked at: {fault}") from fault
    return found


def is_running(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status", {})
    states = [container["state"] for container in status.get("containerStatuses", ())]
    return status.get("phase") == "Running" and any("running" in state for state in states)


def cause(pod: Mapping[str, Any]) -> tuple[str, bool]:
    """Why a pod does not run, for people ("" if it only takes its time), and whether waiting is in
    vain."""
    status = pod.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return f"the pod ended: {_first(status, 'message', 'reason') or status['phase']}", True
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            words = _first(condition, "message", "reason")
            missing = "persistentvolumeclaim" in words and "not found" in words
            return _claim_words(words) if missing else words, missing
    for container in status.get("containerStatuses", ()):
        waiting = container["state"].get("waiting", {})
        reason = waiting.get("reason", "")
        if reason == "ErrImagePull" or reason in _HOPELESS:
            words = f"image {container.get('image', '')}: {reason}: {_first(waiting, 'message')}"
            return words, reason in _HOPELESS
    return "", False


def _claim_words(words: str) -> str:
    """Without the scheduler's count of nodes."""
    return words[words.index("persistentvolumeclaim") :].split(". ")[0]


def _first(found: Mapping[str, Any], *names: str) -> str:
    texts = (" ".join(str(found.get(name) or "").split()) for name in names)
    return next(filter(None, texts), "")


def _event(kubectl: Kubectl, name: str) -> str:
    """The last warning about the pod, such as a volume that cannot be mounted."""
    with suppress(KubectlError):
        chosen = f"involvedObject.name={name},type=Warning"
        events = kubectl.get("events", "--field-selector", chosen)["items"]
        key: Callable[[Any], str] = lambda event: event.get("lastTimestamp") or ""  # noqa: E731
        return _first(max(events, key=key), "message") if events else ""
    return ""
