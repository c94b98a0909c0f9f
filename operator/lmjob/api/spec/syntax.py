"""Spellings that Kubernetes demands: names, label keys and values, image references.

Facts from Kubernetes' own validation (RFC 1035 and 1123 names, qualified names of labels) and from
the grammar of image references (distribution/reference).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lmtrainer.config.mistakes import Mistake, key_place, show

_WORD = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"(?=.{{1,253}}\Z){_WORD}(\.{_WORD})*"
SUBDOMAIN_HELP = "must be lower-case letters, digits, '-' and '.', such as my-name"

NAMESPACE = rf"(?=.{{1,63}}\Z){_WORD}"
NAMESPACE_HELP = "must be at most 63 lower-case letters, digits and '-'"

_QUALIFIED = r"(?=.{1,63}\Z)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
LABEL_VALUE = rf"|{_QUALIFIED}"
LABEL_HELP = (
    "must be at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
)

# [registry[:port]/]path[/path...][:tag][@algorithm:hex]; a registry has a dot or a port, or is
# localhost: else it is the first part of the path.
_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?"
_HOST = rf"(localhost|{_LABEL}(\.{_LABEL})+|{_LABEL}(?=:[0-9]))(:[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
IMAGE = (
    rf"(?=.{{1,512}}\Z)({_HOST}/)?{_PART}(/{_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127})?(@[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-fA-F]{32,})?"
)
IMAGE_HELP = "is not an image reference"


def is_label_key(key: str) -> bool:
    """`name`, or `prefix/name` with a DNS name as prefix."""
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(SUBDOMAIN, prefix):
        return False
    return re.fullmatch(_QUALIFIED, name) is not None


def label_mistakes(field: str, labels: Mapping[str, str]) -> Iterator[Mistake]:
    """Keys and values of labels, or of a selector of labels."""
    yield from key_mistakes(field, labels)
    for key, value in labels.items():
        if not re.fullmatch(LABEL_VALUE, value):
            way_out = "an annotation may hold any text"
            yield Mistake(key_place(field, key), show(value), LABEL_HELP, way_out)


def key_mistakes(field: str, keys: Mapping[str, str]) -> Iterator[Mistake]:
    """Keys of labels or annotations."""
    for key in keys:
        if not is_label_key(key):
            rule = "is not a label key"
            way_out = "write name, or example.org/name; at most 63 letters, digits, '-', '_', '.'"
            yield Mistake(key_place(field, key), "", rule, way_out)
