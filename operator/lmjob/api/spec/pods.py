"""What a user may say about pods: a closed list. Everything else of a pod is the operator's.

Who may create a job may create pods with these fields, and nothing more: no way to the host, to
other namespaces or to the cluster's API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from lmjob.api.names import GROUP
from lmjob.api.spec.affinity import Affinity
from lmjob.api.spec.quantities import Quantity
from lmjob.api.spec.refusals import REFUSED_POD_FIELDS
from lmjob.api.spec.resources import Resources
from lmjob.api.spec.syntax import (
    LABEL_HELP,
    LABEL_VALUE,
    OPTIONAL_LABEL_KEY,
    SUBDOMAIN,
    SUBDOMAIN_HELP,
    is_label_key,
    key_mistakes,
    labels,
)
from lmjob.api.spec.variables import EnvVar, repeated_names
from lmtrainer.config.mistakes import Mistake, key_place, show
from lmtrainer.config.schema import required, setting

# Annotations that switch a pod's protection off.
UNSAFE_ANNOTATIONS = ("container.apparmor.security.", "container.seccomp.security.", "seccomp.")


def _none() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class SecretReference:
    """A Secret of the job's namespace."""

    name: str = required("name of the Secret", pattern=SUBDOMAIN, pattern_help=SUBDOMAIN_HELP)


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint that the pod may live with."""

    key: str = setting(
        "",
        "key of the taint; left out, every key",
        pattern=OPTIONAL_LABEL_KEY,
        pattern_help="is not the key of a taint",
        way_out="such as gpu",
    )
    operator: Literal["Equal", "Exists"] = setting("Equal", "how key and value are compared")
    value: str = setting(
        "", "value of the taint, for Equal", pattern=LABEL_VALUE, pattern_help=LABEL_HELP
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = setting(
        None, "effect of the taint; left out, every effect"
    )
    toleration_seconds: int | None = setting(None, "how long, for NoExecute", minimum=0)

    def mistakes(self) -> Iterator[Mistake]:
        if self.key and not is_label_key(self.key):
            yield Mistake("key", show(self.key), "is not the key of a taint", "such as gpu")
        if not self.key and self.operator != "Exists":
            rule, about = "without a key must be Exists", ("key",)
            yield Mistake("operator", show(self.operator), rule, about=about)
        if self.value and self.operator == "Exists":
            rule, about = "Exists takes no value", ("operator",)
            yield Mistake("value", show(self.value), rule, "remove it", about=about)
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            shown = str(self.toleration_seconds)
            rule = "needs effect NoExecute"
            yield Mistake("tolerationSeconds", shown, rule, about=("effect",))


@dataclass(frozen=True, kw_only=True)
class PodSettings:
    """How a pod is placed, sized and marked."""

    refused: ClassVar[Mapping[str, str]] = REFUSED_POD_FIELDS

    resources: Resources = setting(Resources, "CPU, memory and devices")
    shared_memory: Quantity | None = setting(None, "size of /dev/shm, such as 16Gi")
    image_pull_secrets: tuple[SecretReference, ...] = setting(
        tuple, "Secrets with which the image is pulled", max_items=16
    )
    node_selector: Mapping[str, str] = labels("labels that the node must have")
    tolerations: tuple[Toleration, ...] = setting(
        tuple, "taints that the pod may live with", max_items=32
    )
    affinity: Affinity | None = setting(None, "which nodes are preferred or needed")
    labels: Mapping[str, str] = labels("more labels of the pod")
    annotations: Mapping[str, str] = setting(_none, "more annotations of the pod", max_items=64)
    priority_class_name: str | None = setting(
        None, "PriorityClass of the pod", pattern=SUBDOMAIN, pattern_help=SUBDOMAIN_HELP
    )
    runtime_class_name: str | None = setting(
        None, "RuntimeClass of the pod", pattern=SUBDOMAIN, pattern_help=SUBDOMAIN_HELP
    )

    def mistakes(self) -> Iterator[Mistake]:
        if self.shared_memory is not None and not self.shared_memory.amount:
            rule = "must be > 0"
            yield Mistake("sharedMemory", self.shared_memory, rule, "leave it out for the default")
        yield from key_mistakes("nodeSelector", self.node_selector)
        yield from key_mistakes("labels", self.labels)
        yield from key_mistakes("annotations", self.annotations)
        for field, keys in (("labels", self.labels), ("annotations", self.annotations)):
            for key in keys:
                yield from _owned_key_mistakes(key_place(field, key), key)


def _owned_key_mistakes(where: str, key: str) -> Iterator[Mistake]:
    prefix = key.rpartition("/")[0]
    if prefix == GROUP or prefix.endswith(f".{GROUP}"):
        yield Mistake(where, "", f"{GROUP}/ is the operator's own", "choose another prefix")
    if key.startswith(UNSAFE_ANNOTATIONS):
        yield Mistake(where, "", "is not allowed: it weakens the pod's protection", "remove it")


@dataclass(frozen=True, kw_only=True)
class PodFields(PodSettings):
    """The same with the user's own environment variables."""

    env: tuple[EnvVar, ...] = setting(
        tuple, "environment variables, taken literally", max_items=100
    )

    def mistakes(self) -> Iterator[Mistake]:
        yield from super().mistakes()
        yield from repeated_names("env", self.env)
