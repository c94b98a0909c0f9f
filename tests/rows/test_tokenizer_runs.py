"""Row 5, and row 2, in a whole preparation: what is trained encodes, here and in AutoTokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from lmtrainer.config import RunConfig, document, parse, resolve
from lmtrainer.config.architecture import Architecture
from lmtrainer.config.run import ResolvedRun
from lmtrainer.dataset import Prepared, prepare
from lmtrainer.evaluate import fill
from lmtrainer.models import build
from lmtrainer.text import segmenters

THAI = ["ฉันรักภาษาไทย เพราะสวย", "เขารักน้ำ และ ภาษาไทย", "ฉันทำงาน  ทุกวัน"]
TINY = Architecture(layers=1, hidden_size=16, heads=2, intermediate_size=32, max_positions=64)
Make = Callable[..., tuple[ResolvedRun, Prepared]]


@pytest.fixture
def prepared(tmp_path: Path) -> Make:
    """Prepares Thai text with a tokenizer that is trained as said."""
    text = tmp_path / "thai.txt"
    text.write_text("\n".join(THAI[number % 3] for number in range(600)), "utf-8")

    def make(**train: Any) -> tuple[ResolvedRun, Prepared]:
        plain = {
            "data": {"train": [str(text)], "documents": "line"},
            "tokenizer": {"train": train},
            "model": {"type": "roberta", "preset": "tiny"},
            "phases": [{"name": "main", "steps": 1, "sequenceLength": 16}],
            "output": {"to": str(tmp_path / "out")},
        }
        run = resolve(parse(RunConfig, plain), precision="fp32", threads=1)
        assert parse(ResolvedRun, document(run)) == run, "the trainer reads what was planned"
        return run, prepare(run, tmp_path / "out", {})

    return make


def first_document(found: Prepared) -> list[int]:
    ids = np.empty(int(found.train.offsets[1]), dtype=np.int64)
    found.train.copy(0, ids)
    return ids.tolist()


UNIGRAM = {"type": "unigram", "vocabSize": 300, "unigram": {"normalization": "none"}}
WORDS = {"type": "wordlevel", "minFrequency": 1, "segmenter": "newmm"}


@pytest.mark.parametrize("spaces", [True, False])
@pytest.mark.parametrize("train", [UNIGRAM, WORDS], ids=["unigram", "words"])
def test_row_005_the_dataset_holds_the_ids_of_the_saved_tokenizer(
    train: dict[str, Any], spaces: bool, prepared: Make
) -> None:
    _, found = prepared(**train, specialTokens="roberta", spaceToken=spaces)
    tokenizer = AutoTokenizer.from_pretrained(found.tokenizer)
    cut = segmenters.find("newmm") if train is WORDS else str
    known = [tokenizer(cut(text), add_special_tokens=False)["input_ids"] for text in THAI]
    ids = first_document(found)
    assert ids in known
    assert tokenizer.unk_token_id not in ids
    if spaces or train is UNIGRAM:
        assert tokenizer.decode(ids) in THAI


def test_row_005_sentences_are_filled_in_as_they_were_cut(
    prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = prepared(**WORDS, specialTokens="roberta", spaceToken=True)
    model = build.build("roberta", TINY, found.vocabulary, seed=0)
    seen = []
    scores = fill.target_logits
    monkeypatch.setattr(
        fill, "target_logits", lambda model, row: (seen.append(row), scores(model, row))[1]
    )
    filled = fill.fill(model, found.tokenizer, "ฉันรัก[MASK] เพราะสวย", device=torch.device("cpu"))
    assert "[MASK]" not in filled["filled"]
    tokenizer = AutoTokenizer.from_pretrained(found.tokenizer)
    words = tokenizer.convert_ids_to_tokens(seen[0].tokens.flatten().tolist())
    assert words == ["<s>", "ฉัน", "รัก", "<mask>", "<_>", "เพราะ", "สวย", "</s>"]
