"""Which nodes a pod prefers or needs: the affinity of Kubernetes, without other namespaces.

The words are Kubernetes' own (core/v1 Affinity). What names a namespace is left out: a job says
nothing about pods of other tenants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lmjob.api.spec.syntax import (
    LABEL_HELP,
    LABEL_KEY,
    LABEL_KEY_HELP,
    LABEL_VALUE,
    is_label_key,
    key_mistakes,
    labels,
)
from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.schema import required, setting


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A condition on one label."""

    key: str = required(
        "key of the label", pattern=LABEL_KEY, pattern_help=LABEL_KEY_HELP, way_out="such as pool"
    )
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = required("comparison")
    values: tuple[str, ...] = setting(
        tuple,
        "what the label is compared with",
        max_items=64,
        pattern=LABEL_VALUE,
        pattern_help=LABEL_HELP,
    )

    def mistakes(self) -> Iterator[Mistake]:
        if not is_label_key(self.key):
            yield Mistake("key", show(self.key), LABEL_KEY_HELP, "such as pool")
        needs_none = self.operator in ("Exists", "DoesNotExist")
        if needs_none == bool(self.values):
            rule = f"{self.operator} takes {'no' if needs_none else 'at least one'} value"
            yield Mistake("values", show(self.values), rule, about=("operator",))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Conditions that hold together."""

    match_expressions: tuple[Requirement, ...] = required("conditions", min_items=1, max_items=8)


@dataclass(frozen=True, kw_only=True)
class AlternativeTerms:
    """Groups of conditions, one of which must hold."""

    node_selector_terms: tuple[Terms, ...] = required("alternatives", min_items=1, max_items=8)


@dataclass(frozen=True, kw_only=True)
class WeightedTerms:
    """A wish for nodes."""

    weight: int = required("1 to 100", minimum=1, maximum=100)
    preference: Terms = required("conditions on the labels of the node")


@dataclass(frozen=True, kw_only=True)
class NodeAffinity:
    """Labels of the node itself."""

    required_during_scheduling_ignored_during_execution: AlternativeTerms | None = setting(
        None, "must hold"
    )
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedTerms, ...] = setting(
        tuple, "wishes", max_items=8
    )


@dataclass(frozen=True, kw_only=True)
class LabelSelector:
    """Pods of the job's namespace with these labels."""

    match_labels: Mapping[str, str] = labels("labels that they have")
    match_expressions: tuple[Requirement, ...] = setting(
        tuple, "conditions on their labels", max_items=8
    )

    def mistakes(self) -> Iterator[Mistake]:
        yield from key_mistakes("matchLabels", self.match_labels)


@dataclass(frozen=True, kw_only=True)
class PodTerm:
    """Near, or away from, other pods."""

    label_selector: LabelSelector = required("which pods")
    topology_key: str = required(
        "what counts as near, such as kubernetes.io/hostname",
        pattern=LABEL_KEY,
        pattern_help=LABEL_KEY_HELP,
    )


@dataclass(frozen=True, kw_only=True)
class WeightedPodTerm:
    """A wish about other pods."""

    weight: int = required("1 to 100", minimum=1, maximum=100)
    pod_affinity_term: PodTerm = required("which pods, and what counts as near")


@dataclass(frozen=True, kw_only=True)
class PodAffinity:
    """Other pods on the node."""

    required_during_scheduling_ignored_during_execution: tuple[PodTerm, ...] = setting(
        tuple, "must hold", max_items=8
    )
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodTerm, ...] = setting(
        tuple, "wishes", max_items=8
    )


@dataclass(frozen=True, kw_only=True)
class Affinity:
    """Where a pod may go."""

    node_affinity: NodeAffinity | None = setting(None, "labels of nodes")
    pod_affinity: PodAffinity | None = setting(None, "near other pods")
    pod_anti_affinity: PodAffinity | None = setting(None, "away from other pods")
