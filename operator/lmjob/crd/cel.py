"""One rule of the schema in CEL, the expression language of the API server."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from lmtrainer.config.mistakes import Mistake

Reason = Literal["FieldValueInvalid", "FieldValueRequired", "FieldValueForbidden"]


@dataclass(frozen=True)
class Cel:
    """`rule` must be true of `self`. The message is a text, or an expression that makes one."""

    rule: str
    message: str = ""
    expression: str = ""
    field: str = ""
    """The field that is shown, below the object that has the rule."""
    reason: Reason = "FieldValueInvalid"

    def document(self) -> dict[str, Any]:
        """An item of x-kubernetes-validations."""
        words = {"messageExpression": self.expression, "message": self.message}
        return {
            "rule": self.rule,
            **{name: text for name, text in words.items() if text},
            **({"fieldPath": f".{self.field}"} if self.field else {}),
            **({"reason": self.reason} if self.reason != "FieldValueInvalid" else {}),
        }


def told(rule: str, example: Iterable[Mistake], *, whole: bool = False) -> Cel:
    """The rule that is broken by the one mistake of an example, in the same words and of the same
    field; `whole` for a rule of the value itself."""
    (mistake,) = example
    required = mistake.rule == "required"
    words = [mistake.way_out] if required else [mistake.rule, mistake.way_out]
    return Cel(
        rule,
        "; ".join(word for word in words if word),
        field="" if whole else mistake.field,
        reason="FieldValueRequired" if required else "FieldValueInvalid",
    )


def literal(value: Any) -> str:
    """A literal of CEL for a plain value: JSON, whose escapes of ASCII text are CEL's, too."""
    return json.dumps(value)


def or_else(path: str, default: object) -> str:
    """The value of a field, or what it means when it is left out."""
    return f"(has({path}) ? {path} : {literal(default)})"


def default_of(cls: type, name: str) -> object:
    """What a field of a settings class is when it is left out."""
    return next(f.default for f in dataclasses.fields(cls) if f.name == name)


def given(path: str) -> str:
    """Is a list there, with anything in it?"""
    return f"(has({path}) && size({path}) > 0)"


def said(words: str, *values: str) -> str:
    """A message with values at %s and %d. (The API server takes a sum of texts with
    `string(number)` in it for endless, and refuses it.)"""
    return f"{literal(words)}.format([{', '.join(values)}])"


def matches(value: str, pattern: str) -> str:
    return f"{value}.matches({literal(pattern)})"


def all_of(*rules: str) -> str:
    return " && ".join(rules)


def any_of(*rules: str) -> str:
    return " || ".join(rules)
