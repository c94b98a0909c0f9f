"""Rows 38, 48, 49 and 116: ready-made instances, read and written."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmtrainer.cli import main
from lmtrainer.config import MistakesError, ResolvedRun
from lmtrainer.dataset import EvaluationRows, Prepared, TrainingRows, prepare
from lmtrainer.dataset.batches import Batch
from lmtrainer.faults import UserError
from lmtrainer.text.instances import KEYS
from tests.rows.prepared import configured
from tests.rows.small_run import carry_out
from tests.rows.test_pairs import cut
from tests.runs import metrics

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LENGTH = 20


def instance(number: int, pad: int = LENGTH) -> dict[str, Any]:
    """[CLS] A [SEP] B [SEP], two of its tokens hidden, filled up to `pad`."""
    rng = np.random.default_rng(number)
    a, b = rng.integers(2, 7), rng.integers(2, 7)
    text = [2, *rng.integers(5, 40, a).tolist(), 3, *rng.integers(5, 40, b).tolist(), 3]
    labels = [-100] * len(text)
    for place in (1, int(a + 2)):
        labels[place], text[place] = text[place], 4
    rest = pad - len(text)
    return {
        "input_ids": text + [0] * rest,
        "attention_mask": [1] * len(text) + [0] * rest,
        "token_type_ids": [0] * int(a + 2) + [1] * int(b + 1) + [0] * rest,
        "labels": labels + [-100] * rest,
        "next_sentence_label": int(rng.integers(0, 2)),
    }


def write(folder: Path, rows: list[dict[str, Any]], name: str = "train.json") -> None:
    text = folder / "text"
    text.mkdir(exist_ok=True)
    (text / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = text / "tokenizer"
    tokenizer.mkdir(exist_ok=True)
    words = [*SPECIALS, *(f"w{i}" for i in range(40))]
    (tokenizer / "vocab.txt").write_text("\n".join(words) + "\n")


def run_of(objective: str = "mlm+nsp", length: int = LENGTH, **fields: Any) -> ResolvedRun:
    data = {
        "train": ["pvc://text/train.json"],
        "validation": {"files": ["pvc://text/held.json"]},
        "sequences": "instances",
    }
    return configured(
        "bert",
        length,
        **{
            "objective": objective,
            "tokenizer": {"from": "pvc://text/tokenizer"},
            **fields,
            "data": {**data, **fields.get("data", {})},
        },
    )


def made(folder: Path, run: ResolvedRun | None = None) -> tuple[Prepared, ResolvedRun]:
    run = run or run_of()
    return prepare(run, folder / "out", {"text": str(folder / "text")}), run


def as_row(row: Any) -> dict[str, Any]:
    """What a packed row of one instance says, in the form that it was read in."""
    labels = np.full(len(row.tokens), -100)
    labels[row.targets] = row.labels
    found = {
        "input_ids": row.tokens.tolist(),
        "attention_mask": [1] * len(row.tokens),
        "token_type_ids": row.segments.tolist(),
        "labels": labels.tolist(),
        "next_sentence_label": int(row.pair_labels[0]),
    }
    rest = LENGTH - len(row.tokens)
    fill = {"labels": -100}
    return {
        name: value + [fill.get(name, 0)] * rest if isinstance(value, list) else value
        for name, value in found.items()
    }


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


def exported(folder: Path, shards: int = 1, **options: Any) -> list[list[dict[str, Any]]]:
    """What `lmtrainer instances` writes of a small text, file by file."""
    write(folder, [])
    words = ("w1", "w2", "w3", "w4", "w5", "w6", "w7")
    lines = [" ".join(words[(i * j + j) % 7] for j in range(2 + i % 5)) for i in range(200)]
    text = "\n\n".join("\n".join(lines[i * 8 : i * 8 + 8]) for i in range(25))
    (folder / "documents.txt").write_text(text)
    files = [folder / f"shard-{number}.json" for number in range(shards)]
    given = {"sequence-length": LENGTH, "passes": 2, "seed": 1, **options}
    flags = [f"--{name}={value}" for name, value in given.items()]
    vocabulary = str(folder / "text" / "tokenizer" / "vocab.txt")
    command = ["instances", "--text", str(folder / "documents.txt"), "--tokenizer", vocabulary]
    assert main([*command, "--to", *map(str, files), *flags]) == 0
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def test_row_048_lines_have_the_five_keys_and_go_to_the_files_in_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (one,) = exported(tmp_path)
    assert f"{len(one)} instances" in capsys.readouterr().out
    three = exported(tmp_path, shards=3)
    assert all(tuple(row) == KEYS for row in one)
    assert [len(shard) for shard in three] == [len(one[n::3]) for n in range(3)]
    assert [three[n % 3][n // 3] for n in range(len(one))] == one
    assert max(len(row["input_ids"]) for row in one) <= LENGTH
    assert not list(tmp_path.glob(".tmp-*"))


def test_row_049_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    def sha256(seed: int) -> list[str]:
        exported(tmp_path, shards=2, seed=seed)
        files = sorted(tmp_path.glob("shard-*.json"))
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]

    assert sha256(1) == sha256(1) != sha256(2)


def test_row_045_the_text_is_passed_over_several_times_and_masked_otherwise(
    tmp_path: Path,
) -> None:
    (once,), (thrice,) = (
        exported(tmp_path, **{"passes": n, "random-share": 0, "short-share": 0}) for n in (1, 3)
    )

    def real(row: dict[str, Any]) -> str:
        pairs = zip(row["input_ids"], row["labels"], strict=True)
        text = [id_ if label == -100 else label for id_, label in pairs]
        return str([id_ for id_ in text if id_ > 4])

    assert len(thrice) == 3 * len(once)
    # What is not cut off at its ends is the same text in every pass.
    lengths = {real(row): len(row["labels"]) for row in thrice}
    copies = Counter(map(real, thrice))
    whole = [text for text in map(real, once) if lengths.get(text, LENGTH) < LENGTH]
    assert len(whole) > 5
    assert all(copies[text] == 3 * whole.count(text) for text in whole)
    masks = {(real(row), str(row["labels"])) for row in thrice}
    assert len(masks) > 0.9 * len(thrice)


def test_row_046_written_instances_keep_to_the_budget(tmp_path: Path) -> None:
    (rows,) = exported(tmp_path, **{"share": 0.1, "max-predictions": 1, "short-share": 1})
    counts = [sum(label != -100 for label in row["labels"]) for row in rows]
    sizes = [len(row["labels"]) - 3 for row in rows]
    assert counts == [min(1, max(1, round(0.1 * size))) for size in sizes]
    assert max(sizes) == LENGTH - 3, "more would be hidden without the cap"


def test_row_048_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    (rows,) = exported(tmp_path)
    write(tmp_path, rows)
    write(tmp_path, rows, "held.json")
    prepared, run = made(tmp_path)
    batches = EvaluationRows(prepared, run, 0).rows(0, 1)
    found = [as_row(one) for row in batches for one in cut(row)]
    padded = [as_row(one) for one in map(as_batch, rows)]
    assert sorted(map(str, found)) == sorted(map(str, padded))
    share = np.mean([row["next_sentence_label"] for row in rows])
    assert share == pytest.approx(0.5, abs=0.12)


def as_batch(row: dict[str, Any]) -> Batch:
    labels = np.array(row["labels"])
    targets = np.flatnonzero(labels != -100)
    return Batch(
        tokens=np.array(row["input_ids"]),
        positions=np.arange(len(labels)),
        lengths=(len(labels),),
        targets=targets,
        labels=labels[targets],
        segments=np.array(row["token_type_ids"]),
        pair_labels=np.array([row["next_sentence_label"]]),
    )


def test_a_text_of_one_document_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [])
    (tmp_path / "one.txt").write_text("w1 w2\nw3\n")
    target = tmp_path / "new.json"
    vocabulary = str(tmp_path / "text" / "tokenizer" / "vocab.txt")
    text = str(tmp_path / "one.txt")
    flags = ["--text", text, "--tokenizer", vocabulary, "--to", str(target)]
    assert main(["instances", *flags]) != 0
    assert "data.train: 1 documents" in capsys.readouterr().err
    assert not target.exists()
