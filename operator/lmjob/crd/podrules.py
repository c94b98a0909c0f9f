"""Rules between the fields of pods, in CEL."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lmjob.api.names import GROUP
from lmjob.api.spec.affinity import LabelSelector, Requirement
from lmjob.api.spec.pods import UNSAFE_ANNOTATIONS, PodSettings, Toleration
from lmjob.api.spec.quantities import Quantity
from lmjob.api.spec.resources import BYTE_RESOURCES, GPU, OWN_RESOURCES, Resources
from lmjob.api.spec.syntax import KEY_WAY_OUT, LABEL_KEY, LABEL_KEY_HELP
from lmjob.api.spec.variables import THREAD_NAMES, EnvVar, SecretKey, ValueSource
from lmjob.crd.cel import Cel, all_of, any_of, literal, matches, said, told
from lmjob.crd.patterns import re2
from lmtrainer.contract.environment import (
    FORBIDDEN_PREFIXES,
    RESERVED_NAMES,
    RESERVED_PREFIXES,
)

_KEY = re2(LABEL_KEY).text


def _keys(rule: str, words: str, *values: str, field: str = "") -> Cel:
    """A rule of each key `k` of an object, or of one of its fields; the message is that of one that
    breaks it. An object has no order, so the message is made of one look at it."""
    path = f"self.{field}" if field else "self"
    told = said(f"%s: {words}", "k", *values)
    test = f"{path}.all(k, {rule})"
    return Cel(
        f"!has({path}) || {test}" if field else test,
        expression=f"{path}.filter(k, !({rule})).map(k, {told})[0]",
        field=field,
    )


def _label_keys() -> Cel:
    return _keys(matches("k", _KEY), f"{LABEL_KEY_HELP}; {KEY_WAY_OUT}")


def _own_keys() -> tuple[Cel, ...]:
    """Keys that a job may not set: those of the operator, and those that weaken a pod."""
    ours = f"^([^/]*[.])?{GROUP.replace('.', '[.]')}/"
    unsafe = any_of(*(f'k.startsWith("{prefix}")' for prefix in UNSAFE_ANNOTATIONS))
    theirs = f"{GROUP}/ is the operator's own; choose another prefix"
    weakens = "is not allowed: it weakens the pod's protection; remove it"
    return (
        _keys(f"!{matches('k', ours)}", theirs),
        _keys(f"!({unsafe})", weakens),
    )


def _variable() -> tuple[Cel, ...]:
    names = sorted(n for n in RESERVED_NAMES if not n.startswith(RESERVED_PREFIXES))
    reserved = f"^({'|'.join(RESERVED_PREFIXES)}|({'|'.join(names)})$)"
    forbidden = "^(" + "|".join(FORBIDDEN_PREFIXES) + ")"
    return (
        _told_name("RANK", f"!{matches('self', reserved)}"),
        _told_name("LD_PRELOAD", f"!{matches('self', forbidden)}"),
        _told_name(THREAD_NAMES[0], f"!(self in {literal(THREAD_NAMES)})"),
    )


def _one_value() -> Cel:
    source = ValueSource(secret_key_ref=SecretKey(name="a", key="a"))
    both = EnvVar(name="A", value="", value_from=source)
    return told("!has(self.value) || !has(self.valueFrom)", both.mistakes())


def _told_name(name: str, rule: str) -> Cel:
    return told(rule, EnvVar(name=name).mistakes(), whole=True)


def _toleration() -> tuple[Cel, ...]:
    exists = 'has(self.operator) && self.operator == "Exists"'
    no_key = '(!has(self.key) || self.key == "")'
    no_value = '(!has(self.value) || self.value == "")'
    return (
        told(f"!{no_key} || ({exists})", Toleration().mistakes()),
        told(
            f"{no_value} || !({exists})",
            Toleration(key="a", operator="Exists", value="b").mistakes(),
        ),
        told(
            '!has(self.tolerationSeconds) || has(self.effect) && self.effect == "NoExecute"',
            Toleration(key="a", toleration_seconds=1).mistakes(),
        ),
    )


def _requirement() -> tuple[Cel, ...]:
    none = '(self.operator in ["Exists", "DoesNotExist"])'
    some = "(has(self.values) && size(self.values) > 0)"
    return (
        Cel(
            f"{none} != {some}",
            expression=said(
                "%s takes %s value", "self.operator", f'{none} ? "no" : "at least one"'
            ),
            field="values",
        ),
    )


def _amounts() -> tuple[Cel, ...]:
    amount = "string(self[k])"
    own = f'k in {literal(OWN_RESOURCES)} || k.startsWith("hugepages-") || k.contains("/")'
    small = f"k in {literal(BYTE_RESOURCES)} && {matches(amount, '[num]$')}"
    part = matches(amount, "[.][0-9]*[1-9][0-9]*$")
    named = "is not the name of a resource; such as nvidia.com/gpu"
    return (
        _keys(own, f"unknown resource; known: {', '.join(OWN_RESOURCES)}, {GPU}"),
        _keys(matches("k", _KEY), named),
        _keys(f"!({small})", "is a part of one byte; such as 16Gi"),
        _keys(
            f'!k.contains("/") || !{part}',
            "must be a whole number of devices; write 1, 2, ...",
        ),
    )


def _requests() -> tuple[Cel, ...]:
    both = "has(self.limits) && k in self.limits"
    amounts = [f"string(self.{block}[k])" for block in ("requests", "limits")]
    read = all_of(*(f"isQuantity({amount})" for amount in amounts))
    compared = "quantity({}).compareTo(quantity({}))".format(*amounts)
    way_out = "lower it or raise the limit"
    return (
        _keys(
            f"!({both}) || !({read}) || {compared} <= 0",
            f"the %s request exceeds the limit %s; {way_out}",
            "k",
            "string(self.limits[k])",
            field="requests",
        ),
        _keys(
            f'!k.contains("/") || {both}',
            "a device needs a limit; move it to limits: it cannot be shared",
            field="requests",
        ),
        _keys(
            f'!k.contains("/") || !({both}) || !({read}) || {compared} >= 0',
            "must equal the limit %s; leave the request out",
            "string(self.limits[k])",
            field="requests",
        ),
    )


_ZERO = r"^[+]?(0+([.]0*)?|[.]0+)([a-zA-Z].*)?$"

OBJECT_RULES: Mapping[type, tuple[Cel, ...]] = MappingProxyType(
    {
        EnvVar: (_one_value(),),
        Toleration: _toleration(),
        Requirement: _requirement(),
        Resources: _requests(),
    }
)
ENTRY_RULES: Mapping[tuple[type, str], tuple[Cel, ...]] = MappingProxyType(
    {
        (PodSettings, "nodeSelector"): (_label_keys(),),
        (PodSettings, "labels"): (_label_keys(), *_own_keys()),
        (PodSettings, "annotations"): (_label_keys(), *_own_keys()),
        (LabelSelector, "matchLabels"): (_label_keys(),),
        (Resources, "requests"): _amounts(),
        (Resources, "limits"): _amounts(),
    }
)
"""Of the object that a field holds, and so asked only where it is given: the server asks every rule
at each write of the status, too."""
VALUE_RULES: Mapping[tuple[type, str], tuple[Cel, ...]] = MappingProxyType(
    {
        (EnvVar, "name"): _variable(),
        (PodSettings, "sharedMemory"): (
            told(
                f"!{matches('string(self)', _ZERO)}",
                PodSettings(shared_memory=Quantity("0")).mistakes(),
                whole=True,
            ),
        ),
    }
)
