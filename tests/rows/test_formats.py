"""Rows 32 to 35 and 37: the forms in which text comes."""

from __future__ import annotations

import errno
import io
import itertools
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.ipc
import pytest
from transformers import AutoTokenizer

from lmtrainer.config import MistakesError
from lmtrainer.dataset import EvaluationRows
from lmtrainer.faults import UserError
from lmtrainer.text.files import size_of
from lmtrainer.text.records import Reading, records
from lmtrainer.text.sources import expand
from tests.rows.forms import (
    TEXTS,
    table,
    write_csv,
    write_json_lines,
    write_json_list,
    write_packed,
    write_parquet,
    write_saved,
)
from tests.rows.prepared import configured, ids, made, sequences

WRITERS: dict[str, Callable[[Path, str], None]] = {
    "a.jsonl": write_json_lines,
    "lines.json": write_json_lines,
    "list.json": write_json_list,
    "a.csv": write_csv,
    "a.jsonl.gz": write_packed,
    "a.parquet": write_parquet,
    "saved": write_saved,
}


def texts(folder: Path, name: str = "*", **reading: Any) -> list[str]:
    """Documents of a claim's files; every byte of them is told."""
    told: list[int] = []
    files = expand([f"pvc://text/{name}"], {"text": str(folder)})
    how = Reading("blankLine", **reading)
    found = [piece.text for file in files for piece in records(file, how, told.append)]
    assert sum(told) == sum(map(size_of, files))
    return found


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("column", ["text", "body"])
def test_row_032_the_text_is_in_the_column_text_else_in_the_first(
    tmp_path: Path, name: str, column: str
) -> None:
    WRITERS[name](tmp_path / name, column)
    assert texts(tmp_path, name) == TEXTS


@pytest.mark.parametrize("name", WRITERS)
def test_row_032_another_column_can_be_named(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, "note")
    assert texts(tmp_path, name, column="note") == TEXTS
    with pytest.raises(UserError, match="has no column nothing; known: note, id; name one"):
        texts(tmp_path, name, column="nothing")
    with pytest.raises(UserError, match=r"row 1: column id .* holds no text but|^$"):
        assert texts(tmp_path, name, column="id")[:2] == ["0", "1"]  # CSV knows text only
        raise UserError("")


def test_row_032_memory_stays_flat_for_a_list_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    row = json.dumps({"text": "some words " * 90})
    path.write_text("[" + ",\n".join([row] * 30_000) + "]")
    assert path.stat().st_size > 28 << 20
    tracemalloc.start()
    assert sum(1 for _ in records(path, Reading("blankLine"))) == 30_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


BROKEN = {
    "a.jsonl": ('{"text": "a"}\n{"text": \n', "a.jsonl: line 2 is not JSON"),
    "b.jsonl": ('["a"]\n', r"b.jsonl: line 1 is no object such as"),
    "a.json": ('[{"text": "a"}, {"text"', "a.json: object 2 of the list is not JSON"),
    "b.json": ('{"data": [\n1]}', "b.json: line 1 is not JSON"),
    "a.csv": ("text,id\na,1\nb,2,3\n", "a.csv: line 3 has 3 columns, the first line names 2"),
    "b.csv": ('text\n"a', "b.csv: line 2 is not CSV"),
    "c.jsonl": ('{"text": "a"}\n{"id": 1}\n', "c.jsonl: row 2 has no column text"),
    "a.parquet": ("no table", "a.parquet: cannot be read as Parquet"),
    "a.txt.gz": ("not packed", "a.txt.gz: cannot be unpacked"),
    "wide.txt": ("a\0b\0", "wide.txt: byte 0x00 at offset 1 is not text; leave the file out"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_row_032_what_cannot_be_read_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    content, said = BROKEN[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said):
        texts(tmp_path, name)


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_row_032_a_list_is_read_whatever_stands_between_and_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("lmtrainer.text.decoding.BLOCK", block)
    words = ["a", "b, c", "[d", "e]", '"f"', "g\\", "\u00e9"]
    path = tmp_path / "a.json"
    rows = [json.dumps({"text": word}, indent=1) for word in words]
    path.write_text(" \n[ " + rows[0] + "," + " ,\n\t".join(rows[1:]) + "\n ]\n")
    assert [piece.text for piece in records(path, Reading("blankLine"))] == words


class Failing(io.BytesIO):
    """A file on a disk that fails in its second half."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or self.tell() + size > len(self.getbuffer()) // 2:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_row_032_a_disk_that_fails_is_not_the_users_mistake_and_a_cut_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        table().to_parquet(path)
    else:
        rows = table().data.table
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        for module in ("binary", "files"):
            patch.setattr(f"lmtrainer.text.{module}.raw", lambda file, ahead=0: Failing(whole))
        with pytest.raises(OSError, match="Input/output error"):
            texts(tmp_path, path.name)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"{path.name}: cannot be read as"):
        texts(tmp_path, path.name)


def test_row_033_a_saved_dataset_has_the_rows_of_its_source(tmp_path: Path) -> None:
    chosen = table().filter(lambda row: row["id"] % 3 == 0).shuffle(seed=1)
    chosen.save_to_disk(tmp_path / "one", num_shards=3)
    assert texts(tmp_path, "one") == chosen["text"][:]
    splits = datasets.DatasetDict(train=table(), test=chosen)
    splits.save_to_disk(tmp_path / "both")
    assert texts(tmp_path, "both/train") == TEXTS
    with pytest.raises(UserError, match=r"holds the splits test, train; name one, such as pvc://t"):
        texts(tmp_path, "both")


def test_row_033_a_saved_dataset_is_trained_on_like_its_text(tmp_path: Path) -> None:
    table().save_to_disk(tmp_path / "saved")
    source = {"train": [str(tmp_path / "saved")], "validation": {"share": 0.2}}
    prepared = made(tmp_path, configured(data=source))
    assert prepared.train.documents + prepared.validation.documents == len(TEXTS)
    (state,) = (tmp_path / "saved").glob("state.json")
    before = (tmp_path / "out" / "prepared.json").read_text()
    state.write_text(state.read_text() + "\n")
    made(tmp_path, configured(data=source))
    assert (tmp_path / "out" / "prepared.json").read_text() != before


def test_row_034_five_per_cent_are_held_out_and_never_trained_on(tmp_path: Path) -> None:
    lines = "".join(f"word{n} and more\n" for n in range(4000))
    run = configured(data={"documents": "line", "validation": {"share": 0.05}})
    prepared = made(tmp_path, run, lines)
    train, held = prepared.train.documents, prepared.validation.documents
    assert train + held == 4000
    assert held / 4000 == pytest.approx(0.05, abs=0.01)
    sides = []
    for tokens in (prepared.train, prepared.validation):
        all_ids, offsets = ids(tokens), tokens.offsets.tolist()
        sides.append({tuple(all_ids[a:b]) for a, b in itertools.pairwise(offsets)})
    assert not sides[0] & sides[1]
    assert len(sides[0]) + len(sides[1]) == 4000


@pytest.mark.parametrize("kept", [True, None])
def test_row_035_line_breaks_are_tokens_where_they_are_kept(
    tmp_path: Path, kept: bool | None
) -> None:
    data = {"documents": "line", "sequences": "blocks", "keepLineBreaks": kept}
    prepared = made(tmp_path, configured("gpt2", data=data), "one two\nthree four five\n" * 40)
    count = ids(prepared.train).count(prepared.vocabulary.line_break or -1)
    assert count == (80 if kept else 0)


def test_row_037_ids_that_are_there_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [" ".join(["one", "two", "three", "four"][: 1 + n % 4]) for n in range(80)]
    text = "\n".join(lines)
    source = made(tmp_path, configured(data={"documents": "line"}), text)
    auto = AutoTokenizer.from_pretrained(source.tokenizer, local_files_only=True)
    encoded = auto(lines, padding="max_length", max_length=12)
    folder = tmp_path / "tokens"
    folder.mkdir()
    for name in ("train", "held"):
        with (folder / f"{name}.jsonl").open("w") as file:
            for row, real in zip(encoded["input_ids"], encoded["attention_mask"], strict=True):
                print(json.dumps({"input_ids": row, "attention_mask": real}), file=file)

    def never(*_: Any) -> None:
        raise AssertionError("the tokenizer was asked")

    data = {
        "train": [f"{folder}/train.jsonl"],
        "validation": {"files": [f"{folder}/held.jsonl"]},
        "tokenized": True,
    }
    run = configured(data=data, tokenizer={"from": str(source.tokenizer)})
    monkeypatch.setattr("lmtrainer.vocab.chunks.ChunkEncoder.__call__", never)
    prepared = made(tmp_path / "tokens", run)
    rows = [
        sequence
        for row in EvaluationRows(prepared, run, 0).rows(0, 1)
        for sequence in sequences([row])
    ]
    assert sorted(rows) == sorted(
        [i for i in row if i != auto.pad_token_id] for row in encoded["input_ids"]
    )
    with (folder / "train.jsonl").open("a") as file:
        print(json.dumps({"input_ids": [1, 5000]}), file=file)
    with pytest.raises(UserError, match="input_ids hold 5000, and the tokenizer has"):
        made(tmp_path / "tokens", run)
    with (folder / "train.jsonl").open("a") as file:
        print(json.dumps({"input_ids": [1, -1]}), file=file)
    with pytest.raises(UserError, match=r"train.jsonl: row 82: input_ids must be a list of ids"):
        made(tmp_path / "tokens", run)


def test_row_037_padding_is_what_the_mask_says_on_either_side(tmp_path: Path) -> None:
    rows = [
        {"input_ids": [0, 0, 5, 6], "attention_mask": [0, 0, 1, 1]},
        {"input_ids": [5, 0], "attention_mask": [1, 0]},
        {"input_ids": [0, 0], "attention_mask": [0, 0]},
        {"input_ids": [7, 0, 8]},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [piece.ids for piece in records(path, Reading("line", tokenized=True))]
    assert [ids.tolist() for ids in found if ids is not None] == [[5, 6], [5], [7, 0, 8]]


def test_row_037_ids_without_their_tokenizer_are_refused() -> None:
    with pytest.raises(
        MistakesError, match=r"data.tokenized: needs the tokenizer that made the id"
    ):
        configured(data={"tokenized": True})


def test_a_line_of_any_length_is_read_in_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("some words " * 4_000_000 + "\n" + "short\n")
    for rule in ("line", "file", "blankLine"):
        tracemalloc.start()
        whole, size, ends = 0, 0, 0
        for piece in records(path, Reading(rule)):  # type: ignore[arg-type]
            whole, size, ends = (
                whole + len(piece.text),
                max(size, len(piece.text)),
                ends + piece.last,
            )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40 << 20
        assert size <= 5 << 20
        assert ends == (2 if rule == "line" else 1)
        assert whole == path.stat().st_size - {"line": 2, "blankLine": 1, "file": 0}[rule]
