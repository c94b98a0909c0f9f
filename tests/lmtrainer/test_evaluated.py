"""When an evaluation need not be done again: all that it left is there, and of this very model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmtrainer.contract.output import EVALUATION_FILE, MODEL_FOLDER
from lmtrainer.evaluate import card
from lmtrainer.stages.evaluate import PICTURE_FILE, _check

FACTS = {"modelManifest": "ab", "settings": {"fill": ["one [MASK]"]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / EVALUATION_FILE).write_text(json.dumps({**FACTS, "heldOutLoss": 1.5}))
    (tmp_path / PICTURE_FILE).write_bytes(b"png")
    (tmp_path / MODEL_FOLDER).mkdir()
    (tmp_path / MODEL_FOLDER / card.FILE).write_text("# A model")
    return tmp_path


def test_what_lies_there_is_believed_as_long_as_it_is_of_this_model(folder: Path) -> None:
    _check(folder, FACTS)
    for name in FACTS:
        with pytest.raises(ValueError, match="another model or other settings"):
            _check(folder, {**FACTS, name: "other"})


@pytest.mark.parametrize("name", [PICTURE_FILE, f"{MODEL_FOLDER}/{card.FILE}"])
def test_what_is_gone_is_made_again(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is gone"):
        _check(folder, FACTS)
