"""Rows 62 to 64: GroupBERT, its heads and its first weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from lmtrainer.models.groupbert import GroupBertConfig, GroupBertForPreTraining, register

register()


def config(**fields: Any) -> GroupBertConfig:
    sizes = {
        "vocab_size": 40,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 32,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return GroupBertConfig(**{**sizes, **fields})


def test_row_062_has_the_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        model = GroupBertForPreTraining(GroupBertConfig())
    assert sum(p.numel() for p in model.parameters()) == 160_842_044
    layer = model.groupbert.layers[0]
    assert sum(p.numel() for p in layer.parameters()) == 11_315_712


def test_row_062_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = AutoModel.from_config(config()).eval()
    text = torch.randint(1, 40, (2, 9))
    padded = torch.cat([text, torch.zeros(2, 6, dtype=torch.long)], dim=1)
    mask = (torch.arange(15) < 9).long().expand(2, -1)
    with torch.inference_mode():
        alone = model(text).last_hidden_state
        beside = model(padded, attention_mask=mask).last_hidden_state[:, :9]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-5)


def test_row_062_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(config()).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert again.config.model_type == "groupbert"
    text = torch.randint(1, 40, (2, 9))
    with torch.inference_mode():
        assert torch.equal(model(text).logits, again(text).logits)
    tied = again.get_output_embeddings().weight
    assert tied.data_ptr() == again.get_input_embeddings().weight.data_ptr()


@pytest.mark.parametrize(
    ("auto", "shape"),
    [
        (AutoModelForMaskedLM, (3, 9, 40)),
        (AutoModelForSequenceClassification, (3, 2)),
        (AutoModelForTokenClassification, (3, 9, 2)),
        (AutoModelForQuestionAnswering, (3, 9)),
        (AutoModelForMultipleChoice, (3, 4)),
    ],
)
def test_row_063_every_head_loads_from_a_pretrained_folder(
    auto: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    AutoModelForPreTraining.from_config(config()).save_pretrained(tmp_path)
    model = auto.from_pretrained(tmp_path).eval()
    many = (3, 4, 9) if auto is AutoModelForMultipleChoice else (3, 9)
    found = model(torch.randint(1, 40, many))
    scores = found.start_logits if auto is AutoModelForQuestionAnswering else found.logits
    assert scores.shape == shape


def test_row_063_the_joint_loss_is_the_sum_of_both() -> None:
    torch.manual_seed(0)
    model = AutoModelForPreTraining.from_config(config()).eval()
    text, labels = torch.randint(1, 40, (3, 9)), torch.full((3, 9), -100)
    labels[:, 2:4] = text[:, 2:4]
    follows = torch.tensor([0, 1, 1])
    found = model(text, labels=labels, next_sentence_label=follows)
    words = torch.nn.functional.cross_entropy(
        found.prediction_logits.flatten(0, 1), labels.flatten()
    )
    pairs = torch.nn.functional.cross_entropy(found.seq_relationship_logits, follows)
    torch.testing.assert_close(found.loss, words + pairs, atol=1e-6, rtol=1e-6)


def test_row_064_first_weights_are_cut_at_two_standard_deviations() -> None:
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(config(hidden_size=128, vocab_size=1000))
    every = torch.cat([p.detach().flatten() for p in model.parameters() if p.ndim > 1])
    assert float(every.abs().max()) <= 0.04
    assert float(every.std()) == pytest.approx(0.0176, abs=5e-4)
