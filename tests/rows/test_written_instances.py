"""Rows 45, 46, 48 and 49: instances that are written, as `lmtrainer instances` does."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmtrainer.cli import main
from lmtrainer.dataset import EvaluationRows
from lmtrainer.dataset.batches import Batch
from lmtrainer.text.instances import KEYS
from tests.rows.paired import cut
from tests.rows.readymade import LENGTH, as_row, made, write


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
