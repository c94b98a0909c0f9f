"""Regular expressions of the specification in the words of RE2, which the API server speaks.

Python's classes mean a full match and may open with a look-ahead that bounds the length; RE2 has no
look-ahead. What RE2 reads otherwise than Python, or not at all, is refused here, when the schema is
generated, and not by the API server of a user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LENGTH = re.compile(r"\(\?=\.\{(?P<least>\d+),(?P<most>\d+)\}\\Z\)")

MAX_REPEAT = 1000
"""RE2's largest count in {m,n}."""

# Escapes that mean the same in both: a punctuation character, and characters by number.
_ESCAPE = re.compile(r"\\([^A-Za-z0-9]|[tnr]|x[0-9a-f]{2}|x\{[0-9a-f]+\})")
_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\(\?(?!:)")
_POSSESSIVE = re.compile(r"[*+?}]\+")


@dataclass(frozen=True)
class Pattern:
    """An anchored RE2 expression and the bounds of the length that stood before it."""

    text: str
    min_length: int = 0
    max_length: int | None = None


def re2(pattern: str) -> Pattern:
    """The same language as `re.fullmatch(pattern, ...)`; ValueError if RE2 has no word for it."""
    bound = _LENGTH.match(pattern)
    body = pattern[bound.end() :] if bound else pattern
    check(body)
    text = f"^({body})$" if "|" in body else f"^{body}$"
    if bound is None:
        return Pattern(text)
    return Pattern(text, int(bound["least"]), int(bound["most"]))


def check(pattern: str) -> None:
    """ValueError if RE2 does not read `pattern`, or reads it otherwise than Python."""
    for escape in re.finditer(r"\\.[^\\]{0,8}", pattern):
        if not _ESCAPE.match(escape[0]):
            raise ValueError(f"{pattern!r}: {escape[0][:2]} means something else in RE2")
    bare = _ESCAPE.sub("_", pattern)
    outside = re.sub(r"\[\^?\]?[^\]]*\]", "_", bare)
    if _GROUP.search(outside):
        raise ValueError(f"{pattern!r}: RE2 has only plain groups, no look-around, no flags")
    if _POSSESSIVE.search(outside):
        raise ValueError(f"{pattern!r}: RE2 has no possessive repetition")
    counts = [int(n) for match in _COUNT.finditer(outside) for n in (match[1], match[3]) if n]
    if any(count > MAX_REPEAT for count in counts):
        raise ValueError(f"{pattern!r}: RE2 counts to {MAX_REPEAT} at most")
    re.compile(re.sub(r"\\x\{[0-9a-f]+\}", "_", pattern))
