"""Which rules in CEL a class and a value have. Each says what the rule of the class says, in the
same words; what only the operator can tell (codecs, GPUs of a group) is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lmjob.api.spec.quantities import EXAMPLES
from lmjob.api.spec.variables import EnvVar
from lmjob.crd import grouprules, podrules, trainerrules
from lmjob.crd.cel import Cel, matches
from lmtrainer.config.phase import Phase

# Written with CEL's escapes, not RE2's: what a rule may cost counts the letters of the expression.
_CONTROL = "[\0-\b\v-\x1f\x7f-\x9f\u2028\u2029]"
PLAIN_TEXT = Cel(f"!{matches('self', _CONTROL)}", "must not hold control characters")

_AMOUNT = (
    r"^[+-]?([0-9]{1,18}([.][0-9]{0,9})?|[.][0-9]{1,9})"
    r"([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$"
)
QUANTITY = (
    Cel(matches("string(self)", _AMOUNT), f"is not a quantity; {EXAMPLES}"),
    Cel('!string(self).startsWith("-")', f"must not be negative; {EXAMPLES}"),
)

UNIQUE: Mapping[type, str] = MappingProxyType({EnvVar: "name", Phase: "name"})
"""Items of a list -> the field in which no two of them are equal."""

_OBJECT: Mapping[type, tuple[Cel, ...]] = {
    **trainerrules.OBJECT_RULES,
    **podrules.OBJECT_RULES,
    **grouprules.OBJECT_RULES,
}
_VALUE: Mapping[tuple[type, str], tuple[Cel, ...]] = {
    **trainerrules.VALUE_RULES,
    **podrules.VALUE_RULES,
}


def object_rules(cls: type) -> tuple[Cel, ...]:
    """Rules between the fields of a class, with those of its bases."""
    return tuple(rule for base in cls.__mro__ for rule in _OBJECT.get(base, ()))


def value_rules(cls: type, key: str) -> tuple[Cel, ...]:
    """Rules of the value of a field; of each value, where the field holds several."""
    return tuple(rule for base in cls.__mro__ for rule in _VALUE.get((base, key), ()))


def entry_rules(cls: type, key: str) -> tuple[Cel, ...]:
    """Rules of the entries of a field that holds an object of any keys."""
    return tuple(r for base in cls.__mro__ for r in podrules.ENTRY_RULES.get((base, key), ()))


def list_key(kind: object) -> str | None:
    """The field in which items of a list differ, if there is one."""
    return UNIQUE.get(kind) if isinstance(kind, type) else None
