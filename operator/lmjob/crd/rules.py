"""The rules between fields in CEL, by the class that has them. Each says what the rule of the class
says (`mistakes`), in the same words; what only the operator can tell is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lmjob.api.spec.variables import EnvVar
from lmjob.crd.cel import Cel, text
from lmtrainer.config.phase import Phase

# Written with CEL's escapes, not RE2's: what a rule may cost counts the letters of the expression.
_CONTROL = "[\0-\b\v-\x1f\x7f-\x9f\u2028\u2029]"
PLAIN_TEXT = Cel(
    f"!self.matches({text(_CONTROL)})",
    "must not hold control characters",
)
QUANTITY = Cel(
    "type(self) == int ? self >= 0 : self.matches("
    + text(
        r"^\+?([0-9]{1,18}(\.[0-9]{0,9})?|\.[0-9]{1,9})([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$"
    )
    + ")",
    "is not a quantity",
)

OBJECT: Mapping[type, tuple[Cel, ...]] = MappingProxyType({})
ITEMS: Mapping[tuple[type, str], tuple[Cel, ...]] = MappingProxyType({})
UNIQUE: Mapping[type, str] = MappingProxyType({EnvVar: "name", Phase: "name"})


def object_rules(cls: type) -> tuple[Cel, ...]:
    return tuple(rule for base in cls.__mro__ for rule in OBJECT.get(base, ()))


def item_rules(cls: type, key: str) -> tuple[Cel, ...]:
    return tuple(rule for base in cls.__mro__ for rule in ITEMS.get((base, key), ()))


def list_key(kind: object) -> str | None:
    return UNIQUE.get(kind) if isinstance(kind, type) else None
