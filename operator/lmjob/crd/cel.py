"""One rule of the schema in CEL, the expression language of the API server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

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
            "reason": self.reason,
        }


def text(value: str) -> str:
    """A string literal: JSON's escapes of ASCII text are CEL's, too."""
    return json.dumps(value)


def texts(values: Iterable[str]) -> str:
    """A list of string literals."""
    return f"[{', '.join(text(value) for value in values)}]"


def or_else(path: str, default: object) -> str:
    """The value of a field, or what it means when it is left out."""
    return f"(has({path}) ? {path} : {json.dumps(default)})"


def given(path: str) -> str:
    """Is a list there, with anything in it?"""
    return f"(has({path}) && size({path}) > 0)"
