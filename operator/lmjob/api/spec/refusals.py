"""Fields that people try, and the reason why a job cannot set them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_HOST = "pods of a job never reach into their host; ask the administrator of the cluster"
_RIGHTS = "pods run without an API token and without rights; there is nothing to choose"
_PROTECTION = "pods run unprivileged, under the restricted Pod Security Standard"
_PROGRAM = "every pod runs the launcher; for a program of your own give spec.command"
_VOLUMES = "volumes come from the pvc:// locations of the job, those in spec.command, too"

REFUSED_POD_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("hostPath", "hostNetwork", "hostPID", "hostIPC", "hostUsers"), _HOST),
        **dict.fromkeys(("hostAliases", "hostname", "hostPort", "nodeName"), _HOST),
        **dict.fromkeys(
            (
                "serviceAccountName",
                "serviceAccount",
                "automountServiceAccountToken",
                "namespace",
            ),
            _RIGHTS,
        ),
        **dict.fromkeys(
            ("privileged", "securityContext", "capabilities", "runAsUser", "procMount"),
            _PROTECTION,
        ),
        **dict.fromkeys(
            (
                "command",
                "args",
                "containers",
                "initContainers",
                "lifecycle",
                "template",
                "restartPolicy",
            ),
            _PROGRAM,
        ),
        **dict.fromkeys(("volumes", "volumeMounts", "volumeClaimTemplates"), _VOLUMES),
        "image": "one image serves all pods of a job: give spec.image",
    }
)

REFUSED_JOB_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        **{k: why for k, why in REFUSED_POD_FIELDS.items() if k not in ("image", "command")},
        "args": "write them in spec.command, behind the program",
        "nprocPerNode": "it is called spec.processesPerNode here",
        "replicas": "give spec.workers.replicas; there is always one master",
        "podOverrides": "give spec.pods, or the same fields for one role in spec.workers, ...",
    }
)
"""The same names at the top of a spec, and those of other kits."""
