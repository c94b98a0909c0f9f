"""Rows 17 to 21, 35, 36 and 57: how text is cut into training sequences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrainer.config import MistakesError
from lmtrainer.dataset import EvaluationRows, Prepared, TrainingRows
from lmtrainer.dataset.cutting import GROUP
from lmtrainer.dataset.samples import Cut, samples
from tests.rows.prepared import configured, ids, made, sequences

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "next"]
LINES = [" ".join(WORDS[i % 11 : i % 11 + 1 + i % 7] * (1 + i % 3)) for i in range(60)]
TEXT = "\n".join(line + "\n" * (i % 5 == 4) for i, line in enumerate(LINES)) + "\n"


def cut(
    folder: Path, kind: str, model: str = "bert", length: int = 16, **data: Any
) -> tuple[Prepared, list[list[int]]]:
    """Prepared text and all its sequences, of the held-out split, which has the same text."""
    run = configured(model, length, data={"sequences": kind, **data})
    prepared = made(folder, run, TEXT)
    rows = EvaluationRows(prepared, run, 0, max_tokens=length).rows(0, 1)
    return prepared, [s for row in rows for s in sequences([row], masked=model != "gpt2")]


def test_row_017_blocks_are_cut_from_all_text_and_the_tail_is_dropped(tmp_path: Path) -> None:
    prepared, found = cut(tmp_path, "blocks")
    vocabulary, text = prepared.vocabulary, ids(prepared.validation)
    assert len(text) % 14, "there is a tail"
    assert len(found) == len(text) // 14
    assert {len(s) for s in found} == {16}
    assert all((s[0], s[-1]) == (vocabulary.cls, vocabulary.sep) for s in found)
    inside = sorted(tuple(s[1:-1]) for s in found)
    assert inside == sorted(tuple(text[i * 14 : i * 14 + 14]) for i in range(len(text) // 14))


def test_row_017_blocks_of_a_causal_model_have_no_special_tokens(tmp_path: Path) -> None:
    prepared, found = cut(tmp_path, "blocks", "gpt2")
    text = ids(prepared.validation)
    assert prepared.vocabulary.eos not in text
    assert sorted(map(tuple, found)) == sorted(
        tuple(text[i * 16 : i * 16 + 16]) for i in range(len(text) // 16)
    )


@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_row_018_every_line_is_one_example(tmp_path: Path, model: str) -> None:
    prepared, found = cut(tmp_path, "lines", model)
    encoded = prepared.vocabulary.encode([line for line in LINES if line.strip()])
    assert len(found) == len(LINES)
    assert "\n\n" in TEXT
    lines = sorted(s[1:-1] if model == "bert" else s for s in found)
    room, end = (14, []) if model == "bert" else (16, [prepared.vocabulary.eos])
    assert lines == sorted([*e.tolist(), *end][:room] for e in encoded)
    assert any(len(e) > room for e in encoded)


def test_row_019_chunks_are_full_and_less_than_one_is_lost_of_each_group() -> None:
    sizes = np.random.default_rng(0).integers(1, 40, 2 * GROUP + 1)
    sizes[-1] = 7
    offsets = np.cumsum([0, *sizes])
    table = samples(offsets, Cut(64, "mlm", "groups"))
    begins = [int(offsets[i]) for i in (0, GROUP, 2 * GROUP)] + [int(offsets[-1])]
    owner = np.searchsorted(begins, table.starts, side="right") - 1
    for group in range(3):
        mine = table.sizes[owner == group]
        whole = begins[group + 1] - begins[group]
        if whole < 64:
            assert mine.tolist() == [whole]
        else:
            assert set(mine.tolist()) == {64}
            assert whole - mine.sum() < 64


def test_row_019_every_text_of_a_group_has_its_special_tokens(tmp_path: Path) -> None:
    prepared, found = cut(tmp_path, "groups", documents="line")
    vocabulary = prepared.vocabulary
    cls, sep = vocabulary.cls, vocabulary.sep
    encoded = vocabulary.encode(LINES)
    stream = [i for e in encoded for i in (cls, *e.tolist(), sep)]
    assert sorted(map(tuple, found)) == sorted(
        tuple(stream[i * 16 : i * 16 + 16]) for i in range(len(stream) // 16)
    )
    assert prepared.counts[[cls, sep]].sum() == 0


def packed(lines: list[list[int]], room: int, separator: int) -> list[list[int]]:
    """FULL-SENTENCES as the earlier kit states it: a sentence at a time."""
    blocks: list[list[int]] = [[]]
    for line in lines:
        parts = -(-len(line) // room)
        for part in range(parts):
            piece = line[part * len(line) // parts : (part + 1) * len(line) // parts]
            if blocks[-1] and len(blocks[-1]) + len(piece) + 1 > room:
                blocks.append([])
            blocks[-1] += [separator] * bool(blocks[-1]) + piece
    return blocks


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_row_020_full_sentences_are_packed_and_none_is_lost(tmp_path: Path, model: str) -> None:
    prepared, found = cut(tmp_path, "sentences", model)
    vocabulary = prepared.vocabulary
    separator = vocabulary.sep if vocabulary.line_break is None else vocabulary.line_break
    assert (vocabulary.line_break is None) == (model == "bert")
    assert all((s[0], s[-1]) == (vocabulary.cls, vocabulary.sep) for s in found)
    assert all(len(s) <= 16 for s in found)
    encoded = [e.tolist() for e in vocabulary.encode(LINES)]
    assert separator is not None
    assert sorted(s[1:-1] for s in found) == sorted(packed(encoded, 14, separator))


@pytest.mark.parametrize("policy", ["split", "drop"])
def test_row_021_long_sentences_are_split_or_dropped_and_counted(
    tmp_path: Path, policy: str
) -> None:
    prepared, found = cut(tmp_path, "sentences", longSentences=policy)
    sizes = [len(e) for e in prepared.vocabulary.encode(LINES)]
    long = sum(size > 14 for size in sizes)
    facts = json.loads((tmp_path / "out" / "dataset.json").read_text())["phases"][0]["train"]
    assert (facts["longSentences"], facts["longSentencesAre"]) == (long, policy)
    assert long > 0
    sep = prepared.vocabulary.sep
    kept = sum(len([i for i in s[1:-1] if i != sep]) for s in found)
    assert kept == sum(size for size in sizes if policy == "split" or size <= 14)


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=60), drop=st.booleans())
def test_row_021_packing_loses_only_what_is_dropped(sizes: list[int], drop: bool) -> None:
    offsets = np.cumsum([0, *(size + 1 for size in sizes)])
    cut_ = Cut(14, "mlm", "sentences", "drop" if drop else "split")
    table = samples(offsets, cut_)
    assert (table.sizes <= 12).all()
    covered = np.zeros(offsets[-1], dtype=int)
    for start, size in zip(table.starts, table.sizes, strict=True):
        covered[start : start + size] += 1
    assert covered.max() <= 1
    for begin, size in zip(offsets, sizes, strict=False):
        assert covered[begin : begin + size].all() == (not drop or size <= 12)
    # Greedy: what follows a block would not have fitted into it.
    for i in range(len(table) - 1):
        gap = table.starts[i + 1] - table.starts[i] - table.sizes[i]
        first = table.starts[i + 1]
        end = offsets[np.searchsorted(offsets, first, "right")] - 1
        if gap == 1 and first in offsets:
            assert table.sizes[i] + 1 + min(end - first, table.sizes[i + 1]) > 12


def test_row_036_a_cap_takes_the_first_sequences_and_is_reported(tmp_path: Path) -> None:
    caps = {"maxSequences": 3, "validation": {"files": ["pvc://text/held.txt"], "maxSequences": 2}}
    prepared, found = cut(tmp_path, "blocks", **caps)
    text = ids(prepared.validation)
    assert sorted(s[1:-1] for s in found) == sorted([text[:14], text[14:28]])
    facts = json.loads((tmp_path / "out" / "dataset.json").read_text())["phases"][0]
    whole = len(text) // 14
    assert (facts["train"]["sequences"], facts["train"]["cappedFrom"]) == (3, whole)
    assert (facts["validation"]["sequences"], facts["validation"]["cappedFrom"]) == (2, whole)


def shifted(buffer: list[int], size: int) -> list[tuple[list[int], list[int]]]:
    """The windows of the earlier kit: input is buf[0:B], labels buf[1:B+1], then B are dropped."""
    found = []
    while len(buffer) >= size + 1:
        found.append((buffer[:size], buffer[1 : size + 1]))
        buffer = buffer[size:]
    return found


@pytest.mark.parametrize("length", [5, 16])
def test_row_057_a_stream_predicts_the_token_behind_each_window(
    tmp_path: Path, length: int
) -> None:
    run = configured("gpt2", length, data={"sequences": "stream"})
    prepared = made(tmp_path, run, TEXT)
    found = []
    for row in EvaluationRows(prepared, run, 0, max_tokens=3 * length).rows(0, 1):
        assert row.targets.tolist() == list(range(len(row.tokens)))
        for begin in range(0, len(row.tokens), length):
            window = slice(begin, begin + length)
            found.append((row.tokens[window].tolist(), row.labels[window].tolist()))
    assert sorted(found) == sorted(shifted(ids(prepared.validation), length))


@pytest.mark.parametrize(
    ("buffer", "size", "windows"),
    [
        ([1, 2, 3, 4, 5], 2, [([1, 2], [2, 3]), ([3, 4], [4, 5])]),
        ([1, 2, 3, 4], 2, [([1, 2], [2, 3])]),
        ([1, 2], 2, []),
    ],
)
def test_row_057_windows_of_a_short_stream(
    buffer: list[int], size: int, windows: list[tuple[list[int], list[int]]]
) -> None:
    table = samples(np.array([0, len(buffer)]), Cut(size, "clm", "stream"))
    assert [
        (buffer[s : s + size], buffer[s + 1 : s + size + 1]) for s in table.starts.tolist()
    ] == windows


def test_row_057_every_window_is_trained_on_in_each_epoch(tmp_path: Path) -> None:
    run = configured("gpt2", 16, data={"sequences": "stream"})
    prepared = made(tmp_path, run, TEXT)
    rows = TrainingRows(prepared, run, 0)
    steps = (len(ids(prepared.train)) - 1) // 16 // 4
    found = [
        s for step in range(steps) for s in sequences(rows.micro_batches(step, 0, 1), masked=False)
    ]
    assert {len(s) for s in found} == {16}
    text = ids(prepared.train)
    windows = [text[i * 16 : i * 16 + 16] for i in range((len(text) - 1) // 16)]
    assert len(windows) - len(found) < 4
    for window in found:
        windows.remove(window)


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        ("bert", {"sequences": "stream"}, "data.sequences: is for clm, and bert trains mlm"),
        ("gpt2", {"sequences": "sentences"}, "data.sequences: is for mlm, and gpt2 trains clm"),
        ("bert", {"sequences": "lines", "documents": "file"}, "data.documents: lines and sent"),
        ("bert", {"longSentences": "drop"}, "data.longSentences: is for sequences: sentences"),
    ],
)
def test_ways_that_do_not_fit_are_refused(model: str, data: dict[str, Any], said: str) -> None:
    with pytest.raises(MistakesError, match=said):
        configured(model, data=data)
