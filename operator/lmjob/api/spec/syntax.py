"""Spellings that Kubernetes demands: names, label keys and values, image references.

Facts from Kubernetes' own validation (RFC 1035 and 1123 names, qualified names of labels) and from
the grammar of image references (distribution/reference).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from lmtrainer.config.mistakes import Mistake, key_place
from lmtrainer.config.schema import setting

_WORD = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"(?=.{{1,253}}\Z){_WORD}(\.{_WORD})*"
SUBDOMAIN_HELP = "must be lower-case letters, digits, '-' and '.', such as my-name"

SECRET_KEY = r"(?=.{1,253}\Z)\.?[-_A-Za-z0-9][-._A-Za-z0-9]*"
SECRET_KEY_HELP = "is not a key of a Secret, such as access-key"

NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
NAMESPACE_HELP = "must be at most 63 lower-case letters, digits and '-'"

QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
"""The name of a label, and its value if it has one."""
_LABEL_KEY = rf"({_WORD}(\.{_WORD})*/)?{QUALIFIED}"
LABEL_KEY = rf"(?=.{{1,317}}\Z){_LABEL_KEY}"
OPTIONAL_LABEL_KEY = rf"(?=.{{0,317}}\Z)({_LABEL_KEY})?"
"""`name`, or `prefix/name`; `is_label_key` looks at the length of the prefix, too."""
LABEL_KEY_HELP = "is not a label key"
KEY_WAY_OUT = "write name, or example.org/name; at most 63 letters, digits, '-', '_', '.'"
LABEL_VALUE = rf"(?=.{{0,63}}\Z)(|{QUALIFIED})"
LABEL_HELP = (
    "must be at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
)

# [registry[:port]/]path[/path...][:tag][@algorithm:hex]; a registry has a dot or a port, or is
# localhost: else it is the first part of the path.
_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?"
_PORT = r":[0-9]{1,5}"
_HOST = rf"((localhost|{_LABEL}(\.{_LABEL})+)({_PORT})?|{_LABEL}{_PORT})"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
IMAGE = (
    rf"(?=.{{1,512}}\Z)({_HOST}/)?{_PART}(/{_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127})?(@[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-fA-F]{32,})?"
)
IMAGE_HELP = "is not an image reference"


def labels(help: str) -> Any:
    """A field of labels, or of a selector of labels; `key_mistakes` tells about the keys."""
    return setting(
        lambda: MappingProxyType({}),
        help,
        max_items=64,
        pattern=LABEL_VALUE,
        pattern_help=LABEL_HELP,
        way_out="an annotation may hold any text",
    )


def is_label_key(key: str) -> bool:
    """`name`, or `prefix/name` with a DNS name as prefix."""
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(SUBDOMAIN, prefix):
        return False
    return re.fullmatch(QUALIFIED, name) is not None


def key_mistakes(field: str, keys: Mapping[str, str]) -> Iterator[Mistake]:
    """Keys of labels or annotations."""
    for key in keys:
        if not is_label_key(key):
            yield Mistake(key_place(field, key), "", LABEL_KEY_HELP, KEY_WAY_OUT)
