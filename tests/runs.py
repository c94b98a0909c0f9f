"""What tests of whole runs share: their text, and what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmtrainer.text.sources import expand


def jargon(documents: int, *, first: int = 0) -> str:
    """A piece of the text that ships with the trainer: so many documents, a blank line between."""
    (path,) = expand(["sample://jargon"], {})
    assert isinstance(path, Path)
    return "\n\n".join(path.read_text().split("\n\n")[first : first + documents])


def metrics(output: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, each of which must be whole."""
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
