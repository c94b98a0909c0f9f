"""Rows 38, 48 and 116: ready-made instances that are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmtrainer.config import MistakesError
from lmtrainer.dataset import EvaluationRows, TrainingRows
from lmtrainer.faults import UserError
from lmtrainer.text.instances import KEYS
from tests.rows.paired import cut
from tests.rows.readymade import LENGTH, as_row, instance, made, run_of, write
from tests.rows.small_run import carry_out
from tests.runs import metrics


def test_row_038_what_was_masked_elsewhere_reaches_the_model_as_it_was(tmp_path: Path) -> None:
    rows = [instance(n) for n in range(50)]
    write(tmp_path, rows)
    write(tmp_path, [instance(n, 40) for n in range(100, 110)], "held.json")
    prepared, run = made(tmp_path, run_of(masking={"share": 0.9}))
    held_out = [
        as_row(one) for row in EvaluationRows(prepared, run, 0).rows(0, 1) for one in cut(row)
    ]
    expected = [instance(n) for n in range(100, 110)]
    assert sorted(map(str, held_out)) == sorted(map(str, expected))
    steps = TrainingRows(prepared, run, 0)
    epochs = [
        [as_row(one) for step in lap for row in steps.micro_batches(step, 0, 1) for one in cut(row)]
        for lap in (range(12), range(13, 25))
    ]
    known = set(map(str, rows))
    assert all(str(found) in known for lap in epochs for found in lap)
    assert len({str(found) for found in epochs[0]}) == 48


def test_row_038_without_pairs_the_same_tokens_are_predicted(tmp_path: Path) -> None:
    write(tmp_path, [instance(n) for n in range(20)])
    write(tmp_path, [instance(0)], "held.json")
    prepared, run = made(tmp_path, run_of("mlm"))
    (row,) = EvaluationRows(prepared, run, 0).rows(0, 1)
    assert row.pair_labels is None
    assert row.labels.tolist() == [label for label in instance(0)["labels"] if label != -100]
    assert row.segments is not None and row.segments.sum() == sum(instance(0)["token_type_ids"])


def test_the_unigram_counts_what_was_hidden_and_no_special_tokens(tmp_path: Path) -> None:
    rows = [instance(n) for n in range(20)]
    write(tmp_path, rows)
    write(tmp_path, rows[:1], "held.json")
    prepared, _ = made(tmp_path)
    real = [
        label if label != -100 else id_
        for row in rows
        for id_, label in zip(row["input_ids"], row["labels"], strict=True)
    ]
    expected = np.bincount([id_ for id_ in real if id_ > 4], minlength=45)
    assert prepared.counts.tolist() == expected.tolist()


@pytest.mark.parametrize("name", KEYS)
def test_row_116_a_column_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    rows = [instance(n) for n in range(5)]
    del rows[2][name]
    write(tmp_path, rows)
    write(tmp_path, rows[:1], "held.json")
    with pytest.raises(
        UserError, match=rf"train.json: row 3: lacks {name}; an instance has exactly"
    ):
        made(tmp_path)


def test_row_048_and_row_116_columns_that_are_too_much_are_named_beside_the_missing_ones(
    tmp_path: Path,
) -> None:
    row = {**instance(0), "masked_lm_labels": [1], "segment_ids": []}
    del row["labels"]
    write(tmp_path, [row])
    write(tmp_path, [row], "held.json")
    expected = r"row 1: lacks labels and has masked_lm_labels, segment_ids, too; an instance has"
    with pytest.raises(UserError, match=expected):
        made(tmp_path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"labels": [1]}, "labels has 1 values and input_ids 20"),
        ({"labels": "no"}, "labels must be a list of whole numbers"),
        ({"input_ids": [[1]]}, "input_ids must be a list of whole numbers"),
        ({"attention_mask": [0] * LENGTH}, "attention_mask must be ones, then zeros"),
        ({"attention_mask": [0] + [1] * (LENGTH - 1)}, "attention_mask must be ones, then zeros"),
        ({"token_type_ids": [1] + [0] * (LENGTH - 1)}, "token_type_ids must be zeros, then ones"),
        ({"labels": [-1] * LENGTH}, "labels must be -100 or an id"),
        ({"labels": [-100] * (LENGTH - 1) + [7]}, "and -100 in the padding"),
        ({"next_sentence_label": 2}, "next_sentence_label must be 0, or 1"),
        ({"input_ids": [45] * LENGTH}, r"input_ids hold 45, and the tokenizer has 45 tokens"),
    ],
)
def test_row_116_a_value_that_cannot_be_is_named_with_its_place(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    write(tmp_path, [instance(0), {**instance(1), **changes}])
    write(tmp_path, [instance(0)], "held.json")
    with pytest.raises(UserError, match=expected):
        made(tmp_path)


def test_instances_that_are_longer_than_the_phase_reads_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [instance(n) for n in range(9)])
    write(tmp_path, [instance(0)], "held.json")
    with pytest.raises(
        UserError, match=r"data.train: instances have up to \d+ tokens, more than ph"
    ):
        made(tmp_path, run_of(length=8))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tokenizer": {}}, "data.sequences: needs the tokenizer that made the ids"),
        ({"data": {"tokenized": True}}, "data.tokenized: is for rows of input_ids alone"),
    ],
)
def test_what_does_not_go_with_instances_is_refused(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(MistakesError, match=expected):
        run_of(**fields)


def test_row_038_a_run_on_instances_trains_both_parts(tmp_path: Path) -> None:
    rows = [instance(n) for n in range(60)]
    write(tmp_path, rows)
    text = tmp_path / "text"
    output = carry_out(
        tmp_path,
        objective="mlm+nsp",
        tokenizer={"from": str(text / "tokenizer")},
        data={"train": [str(text / "train.json")], "sequences": "instances"},
        phases=[{"name": "main", "steps": 3, "sequenceLength": LENGTH, "globalBatchSize": 8}],
    )
    trained = [row for row in metrics(output) if "loss" in row]
    assert [row["targets"] for row in trained] == [16, 16, 16]
    assert all(row["mlmLoss"] + row["nspLoss"] == pytest.approx(row["loss"]) for row in trained)
    results = json.loads((output / "all_results.json").read_text())
    assert results["eval_loss"] == results["eval_mlm_loss"] + results["eval_nsp_loss"]
    assert results["eval_predictions"] == 2 * results["eval_pairs"] > 0
