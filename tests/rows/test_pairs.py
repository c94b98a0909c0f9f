"""Rows 40 to 46: pairs of sentences out of documents."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmtrainer.config import MistakesError
from lmtrainer.dataset import EvaluationRows, TrainingRows, open_prepared, prepare
from lmtrainer.dataset.store import open_sentences
from lmtrainer.durable import MANIFEST_FILE
from lmtrainer.faults import UserError
from tests.rows.paired import cut, documents, paired, parts, pass_of
from tests.rows.prepared import configured, ids, made


def test_row_040_documents_end_at_blank_lines_and_sentences_at_line_ends(tmp_path: Path) -> None:
    text = documents()
    prepared, _ = paired(tmp_path, text)
    assert prepared.train.documents == text.count("\n\n") + 1 == 100
    begins = np.concatenate(open_sentences(prepared.dataset, "train")).astype(int)
    lines = [line for line in text.split("\n") if line]
    assert len(begins) - 1 == len(lines) == 700
    everything = ids(prepared.train)
    found = [everything[a:b] for a, b in itertools.pairwise(begins.tolist())]
    assert found == [i.tolist() for i in prepared.vocabulary.encode(lines)]


def test_row_041_about_half_of_the_pairs_are_random_and_all_fit(tmp_path: Path) -> None:
    prepared, run = paired(tmp_path)
    rows = pass_of(prepared, run)
    assert len(rows) > 150
    assert max(row.lengths[0] for row in rows) <= 48
    labels = [int(row.pair_labels[0]) for row in rows]  # type: ignore[index]
    assert np.mean(labels) == pytest.approx(0.5, abs=0.08)
    text = ids(prepared.train)
    inside = {tuple(text[i : i + n]) for n in range(1, 46) for i in range(len(text) - n + 1)}
    for row, label in zip(rows, labels, strict=True):
        a, b = parts(row, prepared)
        assert tuple(a) in inside and tuple(b) in inside
        if not label:
            assert tuple(a + b) in inside or len(a + b) == 45, "B follows A"


def test_row_041_and_124_the_same_seed_draws_the_same_pairs(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        prepared, run = paired(tmp_path / name, seed=seed)
        found.append([row.tokens.tolist() for row in pass_of(prepared, run)])
    assert found[0] == found[1] != found[2]


def test_row_042_one_document_in_ten_is_cut_into_shorter_pairs(tmp_path: Path) -> None:
    def short(share: float) -> float:
        folder = tmp_path / str(share)
        folder.mkdir()
        prepared, _ = paired(
            folder, documents(40, 17), pairs={"shortShare": share, "passes": 8}, length=48
        )
        tables = [t for name, t in prepared.pairs.items() if name.split == "train"]
        sizes = np.concatenate([t["a_size"] + t["b_size"].astype(int) for t in tables])
        return float((sizes < 30).mean())

    # Even the longest pairs end early at the end of a document.
    at_ends, usual, always = short(0.0), short(0.1), short(1.0)
    expected = at_ends + 0.1 * (always - at_ends)
    assert at_ends < expected < usual < always, "a short document makes more pairs than a long one"
    assert usual < at_ends + 0.3 * (always - at_ends)


@pytest.mark.parametrize("length", [9, 14, 48])
def test_row_043_too_long_pairs_are_cut_at_both_ends_and_neither_part_vanishes(
    tmp_path: Path, length: int
) -> None:
    prepared, run = paired(tmp_path, length=length)
    for row in pass_of(prepared, run):
        a, b = parts(row, prepared)
        assert len(a) >= 1 <= len(b)
        assert len(a) + len(b) <= length - 3


def test_row_044_every_sentence_is_in_some_pair_of_each_pass(tmp_path: Path) -> None:
    prepared, _ = paired(tmp_path, pairs={"passes": 3}, length=24)
    begins = np.concatenate(open_sentences(prepared.dataset, "train")).astype(int)
    tables = [table for name, table in prepared.pairs.items() if name.split == "train"]
    assert len(tables) == 3
    for table in tables:
        seen = np.zeros(len(prepared.train) + 1, dtype=int)
        for a_start, b_start, a_size, b_size, is_random in table.tolist():
            seen[a_start : a_start + a_size] = 1
            if not is_random:
                seen[b_start : b_start + b_size] = 1
        assert (np.add.reduceat(seen[:-1], begins[:-1]) > 0).all()
    assert not np.array_equal(tables[0], tables[1])


def test_row_045_each_pass_and_each_epoch_hides_other_tokens(tmp_path: Path) -> None:
    prepared, run = paired(tmp_path, pairs={"passes": 2, "randomShare": 0}, length=24)
    sizes = [len(table) for name, table in prepared.pairs.items() if name.split == "train"]
    run = configured(
        "bert",
        24,
        objective="mlm+nsp",
        pairs={"passes": 2, "randomShare": 0},
        phases=[{"name": "main", "steps": 9, "sequenceLength": 24, "globalBatchSize": sum(sizes)}],
    )
    rows = TrainingRows(prepared, run, 0)
    # A step is both passes here: the next one has the same pairs, hidden otherwise.
    steps = [[one for row in rows.micro_batches(n, 0, 1) for one in cut(row)] for n in (0, 1)]
    texts = [sorted(str(parts(row, prepared)) for row in step) for step in steps]
    assert len(texts[0]) == sum(sizes)
    assert texts[0] == texts[1]
    masked = [{(row.tokens.tobytes(), tuple(row.targets)) for row in step} for step in steps]
    assert len(masked[0] & masked[1]) < 0.2 * len(masked[0])


def test_row_046_of_pairs_the_budget_is_that_of_both_parts(tmp_path: Path) -> None:
    prepared, run = paired(tmp_path, masking={"maxPredictions": 4})
    for row in pass_of(prepared, run):
        size = row.lengths[0] - 3
        assert len(row.targets) == min(4, max(1, round(0.15 * size)))
        specials = {prepared.vocabulary.cls, prepared.vocabulary.sep}
        assert not specials & set(row.labels.tolist())


def test_held_out_pairs_are_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    prepared, run = paired(tmp_path)
    rows = EvaluationRows(prepared, run, 0, max_tokens=100)
    alone = [r.tokens.tolist() for row in rows.rows(0, 1) for r in cut(row)]
    shares = [rows.rows(rank, 3) for rank in range(3)]
    together = [r.tokens.tolist() for row in itertools.chain(*shares) for r in cut(row)]
    assert sorted(alone) == sorted(together)
    (table,) = [t for name, t in prepared.pairs.items() if name.split == "validation"]
    assert len(alone) == len(table)


def test_pairs_are_made_once_and_again_if_anything_differs(tmp_path: Path) -> None:
    def tables(**fields: Any) -> dict[Path, int]:
        paired(tmp_path, **fields)
        return {p: p.stat().st_mtime_ns for p in tmp_path.glob("out/pairs-*/*.pairs")}

    first = tables()
    assert tables() == first != {}
    assert len(tables(pairs={"passes": 2})) == 4 + 1 + 2 + 1
    (damaged, *_), *_ = [sorted(first)]
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    tables()
    assert damaged.read_bytes() == content


def test_missing_pairs_are_told_when_they_are_opened(tmp_path: Path) -> None:
    _, run = paired(tmp_path)
    (manifest,) = tmp_path.glob(f"out/pairs-*/{MANIFEST_FILE}")
    manifest.unlink()
    with pytest.raises(UserError, match="start the job again to prepare it anew"):
        open_prepared(run, tmp_path / "out", {"text": str(tmp_path / "text")})


def test_what_the_pairs_come_to_is_told(tmp_path: Path) -> None:
    prepared, _ = paired(tmp_path)
    (phase,) = json.loads((tmp_path / "out" / "dataset.json").read_text())["phases"]
    tables = [len(t) for name, t in prepared.pairs.items() if name.split == "train"]
    assert phase["train"]["pairs"] == tables
    assert phase["train"]["randomShare"] == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two\nthree four\nfive", r"data.train: 1 documents, .*blank line between them"),
        ("one two\n\nthree four\n\nfive", r"data.train: in no document does one sentence follow"),
    ],
)
def test_text_that_makes_no_pairs_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        paired(tmp_path, text)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "roberta"}, r"objective: roberta trains mlm \(got \"mlm\+nsp\"\); use mlm, or"),
        ({"model": "gpt2"}, r"objective: gpt2 trains clm \(got \"mlm\+nsp\"\); use clm, or"),
        ({"length": 4}, r"phases\[0\].sequenceLength: is less than 5, the shortest pair"),
        ({"data": {"documents": "line"}}, r"data.documents: makes documents of one sentence"),
        ({"data": {"sequences": "blocks"}}, r"data.sequences: knows nothing of pairs"),
    ],
)
def test_what_cannot_be_paired_is_refused_with_the_way_out(
    fields: dict[str, Any], expected: str
) -> None:
    with pytest.raises(MistakesError, match=expected):
        configured(**{"objective": "mlm+nsp", **fields})


def test_a_preparation_that_breaks_off_leaves_no_half_of_the_pairs(tmp_path: Path) -> None:
    class StopHereError(Exception):
        pass

    def stop(activity: str, done: int, total: int | None) -> None:
        if activity.startswith("pair sentences of validation"):
            raise StopHereError

    run = configured("bert", 48, objective="mlm+nsp")
    with pytest.raises(StopHereError):
        made(tmp_path, run, documents(), progress=stop)
    assert not list(tmp_path.glob("out/pairs-*"))
    assert prepare(run, tmp_path / "out", {"text": str(tmp_path / "text")}).pairs
