"""A translation as a plain document, for people and programs."""

from __future__ import annotations

import dataclasses
from typing import Any

from lmtrainer.compat.translation import Translation
from lmtrainer.config import document


def plain(translation: Translation) -> dict[str, Any]:
    """JSON of a translation; each step is told by its kind."""
    return {
        "kit": translation.kit,
        "script": translation.script,
        "notes": [str(note) for note in translation.notes],
        "group": dataclasses.asdict(translation.group),
        "hardware": document(translation.hardware),
        "steps": [
            {
                "kind": type(step).__name__.removesuffix("Step").lower(),
                **{f.name: document(getattr(step, f.name)) for f in dataclasses.fields(step)},
            }
            for step in translation.steps
        ],
    }
