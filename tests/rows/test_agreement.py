"""Rows 14 and 15: what does not fit the model is told before the first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import RobertaConfig

from lmtrainer import vocab
from lmtrainer.config import MistakesError, RunConfig, parse, resolve
from lmtrainer.config.architecture import PRESETS
from lmtrainer.config.tokenizer import SpecialTokens, TokenizerTraining
from lmtrainer.dataset import open_prepared, prepare
from lmtrainer.faults import UserError
from lmtrainer.models.build import build

Prepare = Callable[..., Any]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepare:
    """Prepares for a saved RoBERTa with the given configuration, and opens what was prepared."""
    (tmp_path / "text.txt").write_text("a few words of text\n\n" * 400)

    def make(
        specials: SpecialTokens = "roberta",
        length: int = 32,
        own: bool = True,
        of_run: bool = False,
        **config: Any,
    ) -> Any:
        earlier, tokenizer = tmp_path / "earlier", tmp_path / "tokenizer"
        model = earlier / "model"
        model.mkdir(exist_ok=True, parents=True)
        (earlier / "run.json").touch()
        plain = {"model_type": "roberta", "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
        plain |= {"max_position_embeddings": 514, **config}
        (model / "config.json").write_text(json.dumps(plain))
        train = {"type": "wordlevel", "specialTokens": specials, "vocabSize": 20}
        settings = parse(TokenizerTraining, train)
        vocab.make(
            settings, lambda _: iter(["a few words"]), tokenizer, max_length=9, fingerprint=""
        )
        fields = {
            "data": {"train": [str(tmp_path / "text.txt")]},
            "tokenizer": {"from": str(tokenizer)} if own else {"train": train},
            "model": {"type": "roberta", "from": str(earlier if of_run else model)},
            "phases": [
                {"name": "short", "steps": 1, "sequenceLength": 16},
                {"name": "main", "steps": 1, "sequenceLength": length},
            ],
            "output": {"to": str(tmp_path / "out")},
        }
        run = resolve(parse(RunConfig, fields), precision="fp32", threads=1)
        prepare(run, tmp_path / "out", {})
        return open_prepared(run, tmp_path / "out", {})

    return make


@pytest.mark.parametrize("own", [True, False])
def test_row_014_every_special_token_that_differs_is_named_with_both_ids(
    own: bool, prepared: Prepare, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="pad is 1 for the tokenizer and 0 for the model; choose"):
        prepared(own=own, pad_token_id=0)
    assert (tmp_path / "out" / "dataset").exists() is not own, "told before any text is read"
    with pytest.raises(UserError, match=r"pad is 0 .* and 1 .*; bos is 2 .* and 0 .*; eos is 3 "):
        prepared("bert", own=own)


@pytest.mark.parametrize("own", [True, False])
def test_row_014_what_fits_passes(own: bool, prepared: Prepare) -> None:
    assert prepared(own=own, mask_token_id=4, unk_token_id=3).vocabulary.pad == 1


def test_row_014_the_model_of_an_earlier_run_is_looked_at_in_its_folder(prepared: Prepare) -> None:
    with pytest.raises(UserError, match="pad is 1 for the tokenizer and 0 for the model"):
        prepared(own=False, of_run=True, pad_token_id=0)


def test_row_014_the_check_is_made_by_every_later_stage(prepared: Prepare, tmp_path: Path) -> None:
    prepared(own=False)
    with pytest.raises(UserError, match="pad is 1 for the tokenizer and 5 for the model"):
        prepared(own=False, pad_token_id=5)


def test_row_015_512_tokens_fit_514_positions_and_513_do_not(prepared: Prepare) -> None:
    assert len(prepared(length=512).train)
    with pytest.raises(
        UserError, match=r"phases\[1\].sequenceLength: 513 is more than the 512 pos"
    ):
        prepared(length=513)


def test_row_015_from_scratch_512_positions_are_514_embeddings() -> None:
    def run(length: int) -> RunConfig:
        plain = {
            "data": {"train": ["a"]},
            "model": {"type": "roberta", "preset": "tiny"},
            "phases": [{"name": "a", "steps": 1, "sequenceLength": length}],
            "output": {"to": "b"},
        }
        return parse(RunConfig, plain)

    run(512)
    with pytest.raises(MistakesError, match="sequenceLength: is more than the model's maxPos"):
        run(513)
    words = vocab.Vocabulary(size=60, pad=1, cls=0, sep=2, mask=4)
    model = build("roberta", PRESETS["roberta"]["tiny"], words, seed=0)
    assert isinstance(model.config, RobertaConfig)
    assert model.config.max_position_embeddings == 514
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        model(torch.full((1, 512), 7))
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, 513), 7))
