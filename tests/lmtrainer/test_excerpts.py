"""Text that is drawn at random: what is read of it, and how much."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmtrainer.config.data import DocumentRule
from lmtrainer.text import binary, drawing, excerpts, files
from lmtrainer.text.drawing import draw
from lmtrainer.text.files import TextFile
from lmtrainer.text.parts import parts
from lmtrainer.text.records import Reading, records
from lmtrainer.text.split import Corpus
from tests.lmtrainer.drawn import FORMS, SHARES, as_parquet, drawn, excerpts_of, shrink, write


class Counted:
    """A file, and how many bytes are read of it."""

    def __init__(self, file: Any, read: list[int]) -> None:
        self._file, self._read = file, read

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *fault: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        block = bytes(self._file.read(size))
        self._read.append(len(block))
        return block


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that are read of files, each time."""
    found: list[int] = []
    real = files.raw

    def counted(file: TextFile, *ahead: int, **more: int) -> Any:
        opened = real(file, *ahead, **more)
        return opened if isinstance(file, files.Stretch) else Counted(opened, found)

    for module in (files, excerpts, binary):
        monkeypatch.setattr(module, "raw", counted)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_little_more_is_read_than_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[int], form: str
) -> None:
    shrink(monkeypatch)
    sizes = write(tmp_path, form)
    most = sum(sizes.values()) // 10
    told: list[int] = []
    paths = [tmp_path / "text" / f"{name}.{form}" for name in sizes]
    texts = drawn(paths, most, Reading("blankLine"), told.append)
    assert sum(map(len, texts)) > 0.8 * most
    # The library for packed files reads so much at once.
    packed = len(SHARES) * 8192 if form == "txt.gz" else 0
    assert sum(told) < 1.6 * most + packed
    if form != "parquet":
        assert 0 < sum(read) < 1.6 * most + packed


def test_of_a_table_in_parquet_few_groups_of_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[int]
) -> None:
    """And each time the end of the file, where it says what it holds."""
    shrink(monkeypatch)
    path = tmp_path / "a.parquet"
    path.write_bytes(as_parquet([f"row {n} " + "text " * 200 for n in range(10_000)]))
    assert 5 < len(list(excerpts_of([path], 40_000, Reading("blankLine")))) <= 10
    read.clear()
    texts = drawn([path], 40_000, Reading("blankLine"))
    assert 40_000 <= sum(map(len, texts)) < 60_000
    assert 0 < sum(read) < path.stat().st_size / 2


def test_groups_of_rows_without_rows_shift_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "SMALLEST", 1)
    path = tmp_path / "a.parquet"
    schema = pyarrow.schema([("text", pyarrow.string())])
    documents = [f"text {number}" for number in range(30)]
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for first in range(0, 30, 5):
            for texts in ([], documents[first : first + 5], []):
                writer.write_table(pyarrow.table({"text": texts}, schema=schema))
    reading = Reading("blankLine")
    found = list(excerpts_of([path], path.stat().st_size // 2, reading))
    assert len(found) > 5
    *numbers, count = excerpts.count(path, found, reading, lambda read: None)
    assert count == len(documents)
    for excerpt, number in zip(found, numbers, strict=True):
        mine = [piece.text for piece in records(excerpt.file, reading)]
        assert mine == documents[number : number + len(mine)]
    assert sum(1 for excerpt in found for _ in records(excerpt.file, reading)) == len(documents)


LINES = st.lists(
    st.sampled_from(["word", " two words", "", "\t", "é" * 9, "end ", "a long line " * 9]),
    min_size=1,
    max_size=60,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=LINES,
    size=st.integers(1, 300),
    rule=st.sampled_from(["line", "blankLine", "file"]),
    end=st.sampled_from(["\n", "\r\n"]),
    most=st.integers(1, 200),
    smallest=st.integers(1, 50),
    look=st.sampled_from([5, 1000]),
)
def test_excerpts_are_the_documents_that_their_numbers_say(
    tmp_path: Path,
    lines: list[str],
    size: int,
    rule: DocumentRule,
    end: str,
    most: int,
    smallest: int,
    look: int,
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(end.join(lines).encode())
    reading = Reading(rule)
    corpus = Corpus((path,), (), reading, None, 1)
    if path.stat().st_size <= most:
        return
    documents = [piece.text for piece in records(path, reading)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "SMALLEST", smallest)
        patch.setattr(excerpts, "LOOK", look)
        cut = [file for part in parts(corpus, size) for file in part.files]
        windows = draw(cut, most, 1)
        before, behind, seen = 0, 0, 0
        for file in cut:
            found = excerpts.cut(file, windows.get(file, ()), reading)
            assert bool(found) == (file in windows)
            *numbers, count = excerpts.count(file, found, reading, lambda read: None)
            for excerpt, number in zip(found, numbers, strict=True):
                mine = [piece.text for piece in records(excerpt.file, reading)]
                first = before + number
                assert first >= behind, "no document comes twice"
                behind = first + len(mine)
                assert mine == documents[first:behind]
                seen += excerpt.most
            before += count
        assert before == len(documents)
        assert seen <= most


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents of 1000 characters are long ones."""
    monkeypatch.setattr(drawing, "SMALLEST", 200)
    monkeypatch.setattr(excerpts, "LOOK", 300)


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("count", [1, 2])
def test_files_of_few_documents_give_their_share(tmp_path: Path, end: str, count: int) -> None:
    """Though most windows lie where none begins."""
    paths = [tmp_path / f"{number}.txt" for number in range(100)]
    for number, path in enumerate(paths):
        lines = (f"{number:03}{place} {'x' * 995}" for place in range(count))
        path.write_text("\n".join(lines) + end)
    texts = drawn(paths, 20_000 * count, Reading("line"))
    assert 0.97 * 20_000 * count <= sum(map(len, texts)) < 20_000 * count + 1000
    numbers = [int(text[:4]) for text in texts]
    assert numbers == sorted(set(numbers))
    assert {number // 200 for number in numbers} == set(range(5))


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("size", [250, 500, 1000, 5000])
def test_long_documents_come_from_everywhere_none_twice_and_not_more_than_wanted(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{number:03} {'x' * (size - 5)}\n" for number in range(200)))
    most = 40 * size
    texts = drawn([path], most, Reading("line"))
    assert 0.9 * most < sum(map(len, texts)) < most + size
    numbers = [int(text[:3]) for text in texts]
    assert numbers == sorted(set(numbers))
    fifths = Counter(number // 40 for number in numbers)
    assert min(fifths[n] for n in range(5)) >= 2


def test_a_document_that_is_longer_than_all_windows_is_read_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "SMALLEST", 4000)
    monkeypatch.setattr(excerpts, "LOOK", 2000)
    monkeypatch.setattr("lmtrainer.text.decoding.BLOCK", 512)
    monkeypatch.setattr("lmtrainer.text.documents.PIECE", 1000)
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {number}\n" for number in range(30_000)))
    told: list[int] = []
    text = "".join(drawn([path], 50_000, Reading("blankLine"), told.append))
    assert 50_000 <= len(text) < 53_000
    assert path.read_text().startswith(text)
    assert sum(told) < 60_000
