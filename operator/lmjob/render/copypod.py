"""The short-lived pod of `lmjob cp`: one claim, the trainer's image, no rights. Its own closed list
stands beside it, so that no name or image of a user becomes anything else. Caller: `lmjob.cli.cp`.
"""

from __future__ import annotations

from typing import Any

from lmjob.render import volumes
from lmjob.render.closed import fields, flag, number, only, text, the_one
from lmjob.render.podfields import CONTAINER_SECURITY, POD_SECURITY
from lmjob.render.template import render

CONTAINER = "copy"
LABEL = "lmjob-cp"


def copy_pod(*, name: str, image: str, claim: str, read_only: bool, seconds: int) -> dict[str, Any]:
    """A pod that does nothing for `seconds` and has the claim mounted in `claim_folder`.
    NotAllowedError if it were anything else."""
    values = {
        "name": name,
        "image": image,
        "claim": claim,
        "folder": claim_folder(claim),
        "read_only": read_only,
        "seconds": seconds,
        "user": volumes.USER,
    }
    pod = render("copy_pod.json.j2", values)
    _ALLOWED(pod, "Pod")
    return pod


def claim_folder(claim: str) -> str:
    """Where the pod sees the claim."""
    return f"{volumes.CLAIMS_FOLDER}/{claim}"


_QUANTITIES = fields({"cpu": text, "memory": text})
_CONTAINER = fields(
    {
        "name": only(CONTAINER),
        "image": text,
        "imagePullPolicy": only("IfNotPresent"),
        "command": only(["sleep", "infinity"]),
        "resources": fields({"requests": _QUANTITIES, "limits": _QUANTITIES}),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": the_one(
            fields({"name": only("claim"), "mountPath": text, "readOnly": flag})
        ),
    }
)
_SPEC = fields(
    {
        "restartPolicy": only("Never"),
        "activeDeadlineSeconds": number,
        "terminationGracePeriodSeconds": number,
        "automountServiceAccountToken": only(False),
        "enableServiceLinks": only(False),
        "securityContext": POD_SECURITY,
        "containers": the_one(_CONTAINER),
        "volumes": the_one(
            fields(
                {
                    "name": only("claim"),
                    "persistentVolumeClaim": fields({"claimName": text, "readOnly": flag}),
                }
            )
        ),
    }
)
_ALLOWED = fields(
    {
        "apiVersion": only("v1"),
        "kind": only("Pod"),
        "metadata": fields({"name": text, "labels": only({"app.kubernetes.io/name": LABEL})}),
        "spec": _SPEC,
    }
)
