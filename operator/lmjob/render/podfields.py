"""The closed list of a pod's specification, for `lmjob.render.allowed`."""

from __future__ import annotations

import ipaddress

from lmjob.render import volumes
from lmjob.render.closed import (
    TEXTS,
    any_text,
    each,
    fields,
    flag,
    number,
    only,
    text,
    the_one,
    where,
)
from lmjob.render.literal import is_literal
from lmtrainer.contract.environment import FORBIDDEN_PREFIXES


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_mount_path(value: str) -> bool:
    own = (volumes.CONFIG_FOLDER, volumes.NODE_FOLDER, volumes.TMP_FOLDER, volumes.SHM_FOLDER)
    head, _, claim = value.rpartition("/")
    return value in own or (head == volumes.CLAIMS_FOLDER and claim not in ("", ".", ".."))


LITERAL = where(is_literal, "would be expanded by the kubelet")

REQUIREMENTS = each(fields({"key": text, "operator": text}, {"values": each(any_text)}))
NODE_TERMS = fields({"matchExpressions": REQUIREMENTS})
POD_TERM = fields(
    {
        "labelSelector": fields({}, {"matchLabels": TEXTS, "matchExpressions": REQUIREMENTS}),
        "topologyKey": text,
    }
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
POD_AFFINITY = fields(
    {},
    {
        _REQUIRED: each(POD_TERM),
        _PREFERRED: each(fields({"weight": number, "podAffinityTerm": POD_TERM})),
    },
)
NODE_AFFINITY = fields(
    {},
    {
        _REQUIRED: fields({"nodeSelectorTerms": each(NODE_TERMS)}),
        _PREFERRED: each(fields({"weight": number, "preference": NODE_TERMS})),
    },
)
AFFINITY = fields(
    {},
    {"nodeAffinity": NODE_AFFINITY, "podAffinity": POD_AFFINITY, "podAntiAffinity": POD_AFFINITY},
)
TOLERATION = fields(
    {},
    {
        "key": any_text,
        "operator": text,
        "value": any_text,
        "effect": text,
        "tolerationSeconds": number,
    },
)

VOLUME = fields(
    {"name": text},
    {
        "persistentVolumeClaim": fields({"claimName": text, "readOnly": flag}),
        "configMap": fields({"name": text, "items": each(fields({"key": text, "path": text}))}),
        "emptyDir": fields({}, {"medium": only("Memory"), "sizeLimit": text}),
    },
    one_of=("persistentVolumeClaim", "configMap", "emptyDir"),
)
MOUNT = fields(
    {"name": text, "mountPath": where(_is_mount_path, "is no folder for a volume")},
    {"readOnly": flag},
)
PROBE = fields(
    {
        "httpGet": fields({"path": text, "port": number}),
        "periodSeconds": number,
        "timeoutSeconds": number,
        "failureThreshold": number,
    }
)
VARIABLE = fields(
    {
        "name": where(
            lambda name: bool(name) and not name.startswith(FORBIDDEN_PREFIXES),
            "changes what code every process of the pod loads",
        ),
    },
    {"value": LITERAL, "valueFrom": fields({"secretKeyRef": fields({"name": text, "key": text})})},
    one_of=("value", "valueFrom"),
)
POD_SECURITY = fields(
    {
        "runAsNonRoot": only(True),
        "runAsUser": only(volumes.USER),
        "runAsGroup": only(volumes.USER),
        "fsGroup": only(volumes.USER),
        "fsGroupChangePolicy": only("OnRootMismatch"),
        "seccompProfile": only({"type": "RuntimeDefault"}),
    }
)
CONTAINER_SECURITY = fields(
    {
        "allowPrivilegeEscalation": only(False),
        "readOnlyRootFilesystem": only(True),
        "capabilities": only({"drop": ["ALL"]}),
    }
)
CONTAINER = fields(
    {
        "name": only("trainer"),
        "image": text,
        "imagePullPolicy": only("IfNotPresent"),
        "command": only(["lmtrainer"]),
        "args": each(LITERAL),
        "env": each(VARIABLE),
        "ports": each(fields({"name": text, "containerPort": number})),
        "readinessProbe": PROBE,
        "livenessProbe": PROBE,
        "resources": fields({}, {"requests": TEXTS, "limits": TEXTS}),
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePath": only(volumes.TERMINATION_LOG),
        "terminationMessagePolicy": only("File"),
        "volumeMounts": each(MOUNT),
    }
)
POD_SPEC = fields(
    {
        "hostname": text,
        "restartPolicy": only("Never"),
        "terminationGracePeriodSeconds": number,
        "automountServiceAccountToken": only(False),
        "enableServiceLinks": only(False),
        "securityContext": POD_SECURITY,
        "containers": the_one(CONTAINER),
        "volumes": each(VOLUME),
    },
    {
        "hostAliases": each(
            fields({"ip": where(_is_address, "is no address"), "hostnames": each(text)})
        ),
        "imagePullSecrets": each(fields({"name": text})),
        "nodeSelector": TEXTS,
        "affinity": AFFINITY,
        "tolerations": each(TOLERATION),
        "priorityClassName": text,
        "runtimeClassName": text,
    },
)
