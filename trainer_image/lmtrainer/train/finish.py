"""The last act of training: the model's own folder, as transformers loads it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmtrainer.contract.reports import Position
from lmtrainer.durable import MANIFEST_FILE, building, write_manifest


def publish_model(
    model: Any,
    tokenizer: Path,
    target: Path,
    *,
    position: Position,
    sequence_length: int | None = None,
    fence: Callable[[], None] = lambda: None,
) -> str:
    """Write the folder `target` whole or not at all; returns the sha256 of its manifest.

    Weights as safetensors, with the files of the tokenizer: one folder is all that a user needs.
    The manifest tells the longest sequence that the model was trained on last.
    """
    with building(target, before_rename=fence) as folder:
        model.save_pretrained(folder)
        for file in sorted(tokenizer.iterdir()):
            if file.name != MANIFEST_FILE:
                shutil.copyfile(file, folder / file.name)
        return write_manifest(folder, position=position, sequence_length=sequence_length)
