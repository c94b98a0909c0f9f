"""What a scalar of a YAML file means to Kubernetes: `1e-4` is a number, `yes` is true.

kubectl reads YAML with sigs.k8s.io/yaml, whose parser is go.yaml.in/yaml/v2; its rules are a mix of
YAML 1.1 and 1.2 that no Python library shares. The rules below were found by experiment with
kubectl 1.37.1; `tests/lmjob/test_yaml_kubectl.py` keeps the results and compares again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

Scalar = str | int | float | bool | None

_NAN, _INF = math.nan, math.inf
_WORDS: Mapping[str, Scalar] = MappingProxyType(
    {
        **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
        **dict.fromkeys(("true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES"), True),
        **dict.fromkeys(("on", "On", "ON"), True),
        **dict.fromkeys(("false", "False", "FALSE", "n", "N", "no", "No", "NO"), False),
        **dict.fromkeys(("off", "Off", "OFF"), False),
        **dict.fromkeys((".nan", ".NaN", ".NAN"), _NAN),
        **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), _INF),
        **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -_INF),
    }
)

_INTEGER = re.compile(
    r"(?P<sign>[+-]?)(0[bB](?P<b2>[01]+)|0[xX](?P<b16>[0-9a-fA-F]+)"
    r"|0[oO]?(?P<b8>[0-7]+)|(?P<b10>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[+-]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][+-]?[0-9]+)?")
_MOST_DIGITS = 70
"""No 64-bit integer is longer in any base."""

_TAG = "tag:yaml.org,2002:"
_TAGGED: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}
)


def plain_scalar(text: str) -> Scalar:
    """The value of a scalar without quotes and tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[:1] == ".":
        return _float(text)
    if text[:1] not in "+-0123456789":
        return text
    digits = text.replace("_", "")
    number = _integer(digits) if len(digits) <= _MOST_DIGITS else None
    if number is not None:
        return number
    decimal = _float(digits)
    return text if isinstance(decimal, str) else decimal


def tagged_scalar(tag: str, text: str) -> Scalar:
    """The value of a scalar with a tag, quoted or not. ValueError if there is none."""
    kind = tag.removeprefix(_TAG)
    if tag == "!" or kind == "str":
        return text
    if kind not in _TAGGED or kind == tag:
        raise ValueError(f"the tag {tag.replace(_TAG, '!!')} is not read; remove it")
    value = plain_scalar(text)
    if type(value) not in _TAGGED[kind]:
        raise ValueError(f'"{text[:40]}" is no !!{kind}; remove the tag')
    return float(value) if kind == "float" and isinstance(value, int) else value


def _integer(text: str) -> int | float | None:
    """64 bits with a sign are an integer; without a sign up to 2**64 - 1, rounded as JSON does."""
    match = _INTEGER.fullmatch(text)
    if match is None:
        return None
    base = next(base for base in (2, 8, 10, 16) if match[f"b{base}"])
    value = int(match[f"b{base}"], base)
    if match["sign"] == "-":
        value = -value
    if -(2**63) <= value < 2**63:
        return value
    return float(value) if not match["sign"] and value < 2**64 else None


def _float(text: str) -> float | str:
    """A decimal number; text that is none, or too large for 64 bits, stays text."""
    if not _FLOAT.fullmatch(text):
        return text
    value = float(text)
    return text if math.isinf(value) else value
