"""The closed list: fields that an object of a job may have, and values where only some are right.

The last check before an object is sent, on the whole object and after everything was merged, so
that no way of putting it together gets past. What is not listed here is not allowed: no way to the
host, to other namespaces, to more rights or to other programs than the trainer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lmjob.api import names
from lmjob.api.spec.pods import UNSAFE_ANNOTATIONS
from lmjob.render import volumes
from lmjob.render.closed import (
    TEXTS,
    Check,
    NotAllowedError,
    any_text,
    each,
    fields,
    mapping,
    number,
    only,
    text,
    the_one,
    where,
)
from lmjob.render.podfields import POD_SPEC


def check(found: dict[str, Any]) -> dict[str, Any]:
    """The same object; NotAllowedError if anything in it is not allowed."""
    kind = str(found.get("kind"))
    if kind not in _KINDS:
        raise NotAllowedError("kind", kind, f"must be one of {', '.join(_KINDS)}")
    _KINDS[kind](found, kind)
    return found


OWNER = fields(
    {
        "apiVersion": only(names.API_VERSION),
        "kind": only(names.KIND),
        "name": text,
        "uid": text,
        "controller": only(True),
    }
)
METADATA: Mapping[str, Check] = {
    "name": text,
    "namespace": text,
    "labels": TEXTS,
    "ownerReferences": the_one(OWNER),
}
ANNOTATIONS = mapping(
    where(lambda key: not key.startswith(UNSAFE_ANNOTATIONS), "weakens the pod's protection"),
    any_text,
)

SERVICE_SPEC = fields(
    {
        "clusterIP": only("None"),
        "publishNotReadyAddresses": only(True),
        "selector": fields({names.LABEL_UID: text, names.LABEL_NODE_RANK: only("0")}),
        "ports": each(fields({"name": text, "port": number})),
    }
)


def _object(kind: str, metadata: Mapping[str, Check], **own: Check) -> Check:
    head = {"apiVersion": only("v1"), "kind": only(kind), "metadata": fields(metadata)}
    return fields({**head, **own})


_KINDS: Mapping[str, Check] = MappingProxyType(
    {
        "Pod": _object("Pod", {**METADATA, "annotations": ANNOTATIONS}, spec=POD_SPEC),
        "Service": _object("Service", METADATA, spec=SERVICE_SPEC),
        "ConfigMap": _object(
            "ConfigMap",
            METADATA,
            immutable=only(True),
            data=fields({volumes.PLAN_FILE: text, volumes.CONFIG_FILE: text}),
        ),
    }
)
