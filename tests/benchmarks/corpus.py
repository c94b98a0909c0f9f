"""English prose for measurements, of any machine with the benchmarks' packages: their docstrings.

Documents are separated by a blank line and have none inside, so that every reader of paragraphs
sees the same ones.
"""

from __future__ import annotations

import ast
import itertools
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

LEAST = 200
"""Characters; shorter docstrings are no prose."""


def write(path: Path, megabytes: int) -> int:
    """Write nearly so much text, each document once (34 MB), then again and again in another
    order; returns the number of bytes."""
    room = megabytes * 10**6
    written = 0
    found = list(_documents())
    with path.open("w", encoding="utf-8") as file:
        for number in itertools.count():
            for text in random.Random(number).sample(found, len(found)) if number else found:
                size = len(text.encode()) + 2
                if written + size > room:
                    return written
                file.write(text + "\n\n")
                written += size
    raise AssertionError


def _documents() -> Iterator[str]:
    seen: set[int] = set()
    for path in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py")):
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                continue
            text = _cleaned(ast.get_docstring(node) or "")
            if len(text) >= LEAST and hash(text) not in seen:
                seen.add(hash(text))
                yield text


def _cleaned(text: str) -> str:
    """Without blank lines, and without what readers of lines see as a line break of their own."""
    plain = "".join(sign if sign == "\n" or sign.isprintable() else " " for sign in text)
    return re.sub(r"\n\s*\n", "\n", plain).strip()
