"""Profiles of IPU systems: read, checked and resolved for a size of system.

A profile is a JSON file (`ipu_config.json`), each value of which may be a mapping by pod type, with
`default` for the others. Overrides are a text: `device_iterations=1,layers_per_ipu=[1 3 4 4]`. What
has no meaning on GPUs is recorded; what has one is used by `ipu`: a global batch is
per_device x replication x accumulation x device_iterations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from lmtrainer.config.mistakes import Mistake, meant, show

PODS: Mapping[str, int] = MappingProxyType({f"pod{n}": n for n in (4, 8, 16, 32, 64)})
"""Pod type -> IPUs."""

Shape = Literal["int", "bool", "text", "ints", "floats"]
"""ints: a list of whole numbers; floats: a number, or a list of them."""

CACHE = "executable_cache_dir"
"""Where what is compiled is kept; of use with --compile_only alone."""

FIELDS: Mapping[str, Shape] = MappingProxyType(
    {
        "layers_per_ipu": "ints",
        "ipus_per_replica": "int",
        "replication_factor": "int",
        "inference_replication_factor": "int",
        "gradient_accumulation_steps": "int",
        "device_iterations": "int",
        "inference_device_iterations": "int",
        "matmul_proportion": "floats",
        "embedding_serialization_factor": "int",
        "recompute_checkpoint_every_layer": "bool",
        "optimizer_state_offchip": "bool",
        "replicated_tensor_sharding": "bool",
        "enable_half_partials": "bool",
        CACHE: "text",
        "output_mode": "text",
        "auto_loss_scaling": "bool",
        "seed": "int",
    }
)
NOT_MEANT_HERE = (
    "matmul_proportion",
    "enable_half_partials",
    CACHE,
    "output_mode",
    "inference_replication_factor",
    "inference_device_iterations",
)
"""Fields that nothing here could do anything with."""

SPARING = ("optimizer_state_offchip", "replicated_tensor_sharding")
"""Fields that keep moments elsewhere: here each process then holds a part of them."""

_FORMS: Mapping[Shape, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "of type int"),
    "bool": ((bool,), "of type bool"),
    "text": ((str,), "of type text"),
    "ints": ((int,), "a list such as [1 3 4 4]"),
    "floats": ((int, float), "a number or a list of them"),
}
"""Types of the items of a shape, and what a message calls it."""

_KEPT = frozenset({"optimum_version", "transformers_version", "name_or_path", "_name_or_path"})
_PUBLISHED_STAGES = 4
"""IPUs of a replica in all published profiles of these models."""
_PART = re.compile(r"\s*(?P<key>[A-Za-z_]\w*)=(?P<value>\[[^\]]*\]|[^,\[\]]*)\s*(?:,|$)")


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A profile, resolved."""

    pod: str
    fields: Mapping[str, Any]
    stages: int
    """IPUs of a replica: stages of its pipeline."""
    replicas: int
    layers: tuple[int, ...] = ()
    """Layers of each stage; empty where no profile says."""

    @property
    def device_iterations(self) -> int:
        return int(self.fields.get("device_iterations", 1))

    def stage_map(self) -> tuple[str, ...]:
        """`stage 0: layers 0 to 2`; one without layers holds the embeddings alone."""
        lines, at = [], 0
        for stage, count in enumerate(self.layers):
            where = f"layers {at} to {at + count - 1}" if count else "no layers"
            lines.append(f"stage {stage}: {where}")
            at += count
        return tuple(lines)

    def document(self) -> dict[str, Any]:
        """What is kept with the results."""
        return {
            "pod": self.pod,
            "replicas": self.replicas,
            "stages": self.stages,
            "stageMap": list(self.stage_map()),
            "profile": dict(self.fields),
        }


def read_overrides(text: str, flag: str) -> tuple[dict[str, Any], list[Mistake]]:
    """`a=1,b=[1 3 4 4]` as plain values: numbers, truth values, texts, lists of numbers."""
    found: dict[str, Any] = {}
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            way_out = "such as device_iterations=1,layers_per_ipu=[1 3 4 4]"
            return found, [Mistake(flag, show(text[at:]), "must be KEY=VALUE,...", way_out)]
        found[match["key"]] = _plain(match["value"])
        at = match.end()
    return found, []


def _plain(word: str) -> Any:
    if word.startswith("["):
        return [_plain(item) for item in word.strip("[]").split()]
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def resolve(
    profile: Mapping[str, Any],
    overrides: Mapping[str, Any],
    pod: str,
    *,
    layers: int | None,
    where: str,
) -> tuple[Hardware, list[Mistake]]:
    """A profile for a pod type. `layers` of the model, where they are known: -1 in layers_per_ipu
    is what the other stages leave."""
    mistakes: list[Mistake] = []
    fields: dict[str, Any] = {}
    for key, raw in {**profile, **overrides}.items():
        if key in _KEPT:
            continue
        place = f"{'--ipu_config_overrides' if key in overrides else where}: {key}"
        if key not in FIELDS:
            rule = "unknown key of a profile"
            mistakes.append(Mistake(place, show(raw), rule, meant(key, FIELDS)))
            continue
        value = _for_pod(raw, pod, place, mistakes)
        if value is not None:
            fields[key] = _checked(key, value, place, mistakes)
    if mistakes:
        return Hardware(pod=pod, fields={}, stages=1, replicas=1), mistakes
    split = fields.get("layers_per_ipu")
    stages = fields.get("ipus_per_replica") or (len(split) if split else _PUBLISHED_STAGES)
    found = Hardware(
        pod=pod,
        fields=fields,
        stages=stages,
        replicas=_replicas(fields, pod, stages, mistakes),
        layers=_stage_layers(split, stages, layers, mistakes) if split else (),
    )
    return found, mistakes


def _for_pod(raw: Any, pod: str, place: str, mistakes: list[Mistake]) -> Any:
    """The value for this size of system."""
    if not isinstance(raw, Mapping):
        return raw
    wrong = [key for key in raw if key not in PODS and key != "default"]
    for key in wrong:
        way_out = meant(key, PODS, f"known: {', '.join(PODS)}, default")
        mistakes.append(Mistake(place, show(key), "is no pod type", way_out))
    if pod not in raw and "default" not in raw:
        rule = f"has no value for {pod}, and no default"
        mistakes.append(Mistake(place, ", ".join(map(str, raw)), rule, f"add {pod}"))
    return raw.get(pod, raw.get("default"))


def _checked(key: str, value: Any, place: str, mistakes: list[Mistake]) -> Any:
    shape = FIELDS[key]
    listed = isinstance(value, list)
    form_fits = listed if shape == "ints" else not listed or shape == "floats"
    types, words = _FORMS[shape]
    items = value if listed else [value]
    if not form_fits or not all(type(item) in types for item in items):
        mistakes.append(Mistake(place, show(value), f"must be {words}"))
    return value


def _replicas(fields: Mapping[str, Any], pod: str, stages: int, mistakes: list[Mistake]) -> int:
    """As many as fit the system; a profile that says another number for it is wrong."""
    size = PODS[pod]
    if stages < 1 or size % stages:
        rule = f"{stages} IPUs of a replica do not divide the {size} of {pod}"
        mistakes.append(Mistake("ipus_per_replica", str(stages), rule))
        return 1
    given = fields.get("replication_factor")
    if given is not None and given * stages > size:
        rule = f"{given} replicas of {stages} IPUs do not fit the {size} of {pod}"
        mistakes.append(
            Mistake("replication_factor", str(given), rule, f"at most {size // stages}")
        )
    return int(given or size // stages)


def _stage_layers(
    split: Sequence[int], stages: int, layers: int | None, mistakes: list[Mistake]
) -> tuple[int, ...]:
    """Layers of each stage, the wild card -1 filled in."""
    wild = [index for index, count in enumerate(split) if count == -1]
    rest = (layers or 0) - sum(count for count in split if count != -1)
    rule = ""
    if len(split) != stages:
        rule = f"names {len(split)} stages, a replica has {stages}"
    elif len(wild) > 1 or min(split) < -1:
        rule = "has more than one -1, or a negative number of layers"
    elif layers is not None and (rest < 0 or (not wild and rest)):
        rule = f"adds up to {sum(split)} layers, the model has {layers}"
    if rule:
        mistakes.append(Mistake("layers_per_ipu", " ".join(map(str, split)), rule))
        return ()
    return tuple(rest if count == -1 else count for count in split)
