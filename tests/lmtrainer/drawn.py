"""Files of which some text is drawn, in every form, and windows that are small enough for them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lmtrainer.text import excerpts
from lmtrainer.text.drawing import draw
from lmtrainer.text.excerpts import Excerpt, training_texts
from lmtrainer.text.files import OnRead, TextFile
from lmtrainer.text.records import Reading
from lmtrainer.text.split import Corpus

SHARES = {"a": 1, "b": 2, "c": 4, "d": 5}
DOCUMENTS = 250
"""In a file, for each of its shares."""

SAMPLE = 100_000


def text_of(name: str) -> list[str]:
    """Documents of about 80 bytes, each of which has a word of its own."""
    words = random.Random(name)
    return [
        f"{name}{number} " + " ".join(f"w{words.randrange(500)}" for _ in range(16))
        for number in range(DOCUMENTS * SHARES[name])
    ]


def as_csv(texts: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in ["text", *texts]).encode()


def as_lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def as_parquet(texts: list[str]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.table({"text": texts})
    plain = {"compression": "none", "use_dictionary": False}
    pyarrow.parquet.write_table(table, sink, row_group_size=100, **plain)
    return bytes(sink.getvalue().to_pybytes())


FORMS: dict[str, Callable[[list[str]], bytes]] = {
    "txt": lambda texts: "\n\n".join(texts).encode() + b"\n",
    "jsonl": as_lines,
    "json": lambda texts: json.dumps([{"text": text} for text in texts]).encode(),
    "csv": as_csv,
    "parquet": as_parquet,
    "txt.gz": lambda texts: gzip.compress("\n\n".join(texts).encode()),
}


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and blocks for texts of some 100 kB."""
    monkeypatch.setattr("lmtrainer.text.drawing.SMALLEST", 4000)
    monkeypatch.setattr("lmtrainer.text.parts.BLOCK", 512)
    monkeypatch.setattr("lmtrainer.text.decoding.BLOCK", 512)
    monkeypatch.setattr("lmtrainer.text.binary.ROWS", 10)


def write(folder: Path, form: str) -> dict[str, int]:
    """The files; how large each one is."""
    (folder / "text").mkdir(exist_ok=True)
    for name in SHARES:
        (folder / "text" / f"{name}.{form}").write_bytes(FORMS[form](text_of(name)))
    return {name: (folder / "text" / f"{name}.{form}").stat().st_size for name in SHARES}


def excerpts_of(files: Sequence[TextFile], most: int, reading: Reading) -> Iterator[Excerpt]:
    """What is drawn of files."""
    windows = draw(files, most, seed=1)
    for file in files:
        yield from excerpts.cut(file, windows.get(file, ()), reading)


def drawn(
    files: Sequence[TextFile], most: int, reading: Reading, on_read: OnRead = lambda count: None
) -> list[str]:
    """The texts of that; nothing is held out."""
    corpus = Corpus(tuple(files), (), reading, None, 1)
    found = ((excerpt, 0) for excerpt in excerpts_of(files, most, reading))
    return list(training_texts(corpus, found, on_read))
