"""Words of texts that white space does not cut."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lmtrainer.faults import UserError
from lmtrainer.text import segmenters

THAI = "ฉันรักภาษาไทย เพราะ\nสวย a b"


def offered(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """An installed package with a segmenter called letters."""
    entry = EntryPoint("letters", target, segmenters.GROUP)
    monkeypatch.setattr(segmenters, "entry_points", lambda group: [entry])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("newmm", ["ฉัน", "รัก", "ภาษาไทย", " ", "เพราะ", "\n", "สวย", " ", "a", " ", "b"]),
        (
            "syllable",
            ["ฉัน", "รัก", "ภา", "ษา", "ไทย", " ", "เพราะ", "\n", "สวย", " ", "a", " ", "b"],
        ),
        ("presplit", [THAI]),
    ],
)
def test_text_is_cut_into_words_and_nothing_is_lost(name: str, words: list[str]) -> None:
    assert segmenters.find(name)(THAI) == "<|>".join(words)
    assert segmenters.find(name)("") == ""


def test_an_own_segmenter_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an installed package has it: a module, and a folder that tells of it."""
    (tmp_path / "spelling.py").write_text("def letters(text):\n    return list(text)\n")
    told = tmp_path / "spelling-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: spelling\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[lmtrainer.segmenters]\nletters = spelling:letters\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert segmenters.find("letters")("abc") == "a<|>b<|>c"
    with pytest.raises(UserError, match="no segmenter leters; known: letters, newmm, presplit, sy"):
        segmenters.find("leters")


def test_an_own_segmenter_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, "no_such_package:own")
    with pytest.raises(UserError, match="letters cannot be loaded: No module named"):
        segmenters.find("letters")
    offered(monkeypatch, "sys:platform")
    with pytest.raises(UserError, match="letters is no function"):
        segmenters.find("letters")
    offered(monkeypatch, "sys:no_such_name")
    with pytest.raises(UserError, match="letters cannot be loaded"):
        segmenters.find("letters")


def test_without_the_library_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythainlp.tokenize", None)
    with pytest.raises(UserError, match=r"newmm needs pythainlp.*install lmtrainer\[thai\]"):
        segmenters.find("newmm")


def test_no_home_is_needed_and_nothing_is_left_in_one(tmp_path: Path) -> None:
    code = "from lmtrainer.text.segmenters import find; print(find('newmm')('ฉันรัก'))"
    for home in (tmp_path, "/proc/none"):
        environment = {**os.environ, "HOME": str(home), "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "ฉัน<|>รัก\n"
    assert list(tmp_path.iterdir()) == []
