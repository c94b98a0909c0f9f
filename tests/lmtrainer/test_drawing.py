"""A tokenizer that is trained on some of the text: how that is drawn, and that nothing else is
read."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from lmtrainer import vocab
from lmtrainer.config import ResolvedRun, config_hash
from lmtrainer.config.data import DocumentRule
from lmtrainer.dataset import Prepared
from lmtrainer.text import binary, drawing, files
from lmtrainer.text.drawing import draw
from lmtrainer.text.files import TextFile
from lmtrainer.text.parts import parts
from lmtrainer.text.records import Reading, records
from lmtrainer.text.split import Corpus, find, pieces
from tests.rows.prepared import TEXT, configured, made

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


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and blocks for texts of some 100 kB."""
    monkeypatch.setattr(drawing, "SMALLEST", 4000)
    monkeypatch.setattr("lmtrainer.text.parts.BLOCK", 512)
    monkeypatch.setattr("lmtrainer.text.decoding.BLOCK", 512)
    monkeypatch.setattr("lmtrainer.text.binary.ROWS", 10)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What each training of a tokenizer read, pass by pass."""
    passes: list[list[str]] = []
    real = vocab.make

    def make(settings: Any, texts: Any, *more: Any, **options: Any) -> str:
        def noted(activity: str) -> Iterator[str]:
            passes.append([])
            for text in texts(activity):
                passes[-1].append(text)
                yield text

        return real(settings, noted, *more, **options)

    monkeypatch.setattr(vocab, "make", make)
    return passes


def run_of(form: str, kind: str = "wordlevel", sample: int | None = SAMPLE, **data: Any) -> Any:
    """A run of all files; a sample is usually larger than this."""
    size = {} if kind == "wordlevel" else {"vocabSize": 600}
    run = configured(
        data={"train": [f"pvc://text/?.{form}"], "validation": {"share": 0.2}, **data},
        tokenizer={"train": {"type": kind, **size}},
    )
    training = dataclasses.replace(run.tokenizer.train, max_bytes=sample)
    return dataclasses.replace(run, tokenizer=dataclasses.replace(run.tokenizer, train=training))


def write(folder: Path, form: str) -> dict[str, int]:
    """The files; how large each one is."""
    (folder / "text").mkdir(exist_ok=True)
    for name in SHARES:
        (folder / "text" / f"{name}.{form}").write_bytes(FORMS[form](text_of(name)))
    return {name: (folder / "text" / f"{name}.{form}").stat().st_size for name in SHARES}


def train(folder: Path, run: ResolvedRun, **options: Any) -> Prepared:
    return made(folder, run, **options)


def held_out(folder: Path, run: ResolvedRun) -> set[str]:
    corpus = find(run.data, run.seed, {"text": str(folder / "text")})
    return {piece.text for split, piece in pieces(corpus) if split == "validation"}


@pytest.mark.parametrize("form", FORMS)
def test_each_file_gives_its_share_and_what_is_held_out_gives_nothing(
    tmp_path: Path, used: list[list[str]], form: str
) -> None:
    sizes = write(tmp_path, form)
    whole = sum(len(text) for name in SHARES for text in text_of(name))
    # Of a packed file, text is counted when it is unpacked.
    most = SAMPLE if whole < 2 * sum(sizes.values()) else 40_000
    run = run_of(form, sample=most)
    train(tmp_path, run)
    (texts,) = used
    everything = [text for name in SHARES for text in text_of(name)]
    hidden = held_out(tmp_path, run)
    assert len(hidden) > 400
    assert set(texts) <= set(everything) - hidden
    assert len(texts) == len(set(texts))
    places = {text: number for number, text in enumerate(everything)}
    numbers = [places[text] for text in texts]
    assert numbers == sorted(numbers)
    found = Counter({name: sum(len(t) for t in texts if t[0] == name) for name in SHARES})
    assert 0.7 * most < found.total() < 1.1 * most
    for name, size in sizes.items():
        assert found[name] / found.total() == pytest.approx(size / sum(sizes.values()), abs=0.06)


@pytest.mark.parametrize("form", ["txt", "jsonl", "parquet"])
def test_of_a_file_that_can_be_cut_all_places_are_drawn_from(
    tmp_path: Path, used: list[list[str]], form: str
) -> None:
    write(tmp_path, form)
    train(tmp_path, run_of(form))
    numbers = [int(text[1:].split()[0]) for text in used[0] if text[0] == "d"]
    tenths = Counter(number * 10 // (DOCUMENTS * SHARES["d"]) for number in numbers)
    assert set(tenths) == set(range(10))
    assert max(tenths.values()) < 5 * min(tenths.values())


@pytest.mark.parametrize("form", ["txt", "parquet"])
@pytest.mark.parametrize("kind", ["wordpiece", "bytebpe", "unigram", "wordlevel"])
def test_tokenizers_of_all_types_know_the_sample_alone(
    tmp_path: Path, used: list[list[str]], kind: str, form: str
) -> None:
    write(tmp_path, form)
    run = run_of(form, kind)
    train(tmp_path, run)
    first = used[0]
    assert sum(map(len, first)) < 1.1 * SAMPLE
    assert all(texts == first for texts in used)
    again = tmp_path / "other"
    again.mkdir()
    folder = again / "tokenizer"
    vocab.make(
        dataclasses.replace(run.tokenizer.train, max_bytes=None),
        lambda activity: iter(first),
        folder,
        max_length=512,
        fingerprint="",
    )
    # Known by nothing else than these texts.
    same = (path.joinpath("tokenizer.json") for path in (folder, tmp_path / "out" / "tokenizer"))
    ours, theirs = (path.read_bytes() for path in same)
    assert ours == theirs
    if kind == "wordlevel":
        known = set(AutoTokenizer.from_pretrained(folder).get_vocab())
        assert {word for word in known if word[0] != "["} == {
            word for text in first for word in text.split()
        }


@pytest.mark.parametrize("validation", [{"share": 0.2}, {"files": ["pvc://text/b.txt"]}])
def test_who_prepares_changes_nothing(
    tmp_path: Path,
    used: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    validation: dict[str, Any],
) -> None:
    write(tmp_path, "txt")
    manifests = set()
    for processes in (1, 2):
        monkeypatch.setattr("lmtrainer.text.parts.SMALLEST", 40_000)
        run = run_of("txt", validation=validation, processes=processes, rebuild=True)
        manifests.add(train(tmp_path, run).manifest_sha256)
    assert len(manifests) == 1
    alone, together = used
    assert alone == together
    assert len(alone) > 500
    hidden = held_out(tmp_path, run)
    assert hidden and not hidden & set(alone)


def test_another_seed_draws_another_sample_into_another_dataset(
    tmp_path: Path, used: list[list[str]]
) -> None:
    write(tmp_path, "txt")
    manifests = []
    for seed in (1, 2, 1):
        run = run_of("txt", validation={"files": ["pvc://text/a.txt"]})
        manifests.append(train(tmp_path, dataclasses.replace(run, seed=seed)).manifest_sha256)
    first, second, third = used
    assert first == third != second
    assert manifests[0] == manifests[2] != manifests[1]


def test_a_sample_of_more_than_there_is_is_everything(
    tmp_path: Path, used: list[list[str]]
) -> None:
    write(tmp_path, "txt")
    for sample in (None, 10**9):
        train(tmp_path, run_of("txt", sample=sample))
    everything, same = used
    assert same == everything
    assert sum(map(len, everything)) > 190_000


def test_without_a_sample_datasets_and_runs_are_named_as_ever(tmp_path: Path) -> None:
    run = configured(data={"validation": {"share": 0.1}})
    made(tmp_path, run, TEXT)
    pointer = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert (
        pointer["fingerprint"] == "8929ff58d9f2c7748f984aa34e648b7717951c54bd6af50795c77891120e3b9f"
    )
    assert config_hash(run) == "ba4c22d9d78e077dab2a3ff93e5139bed9896a5ed8b941bfc39fb65777dd82a5"


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

    for module in (files, drawing, binary):
        monkeypatch.setattr(module, "raw", counted)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_little_more_is_read_than_is_drawn(tmp_path: Path, read: list[int], form: str) -> None:
    total = sum(write(tmp_path, form).values())
    run = run_of(form)
    corpus = find(run.data, run.seed, {"text": str(tmp_path / "text")})
    most = total // 10
    told: list[int] = []
    found = [(excerpt, 0) for excerpt in excerpts_of(corpus, most)]
    size = sum(len(text) for text in drawing.training_texts(uncut(corpus), found, told.append))
    assert size > 0.8 * most
    # The library for packed files reads so much at once.
    packed = len(SHARES) * 8192 if form == "txt.gz" else 0
    assert sum(told) < 1.6 * most + packed
    if form != "parquet":
        assert 0 < sum(read) < 1.6 * most + packed


def test_of_a_table_in_parquet_few_groups_of_rows_are_read(tmp_path: Path, read: list[int]) -> None:
    """And each time the end of the file, where it says what it holds."""
    path = tmp_path / "a.parquet"
    path.write_bytes(as_parquet([f"row {n} " + "text " * 200 for n in range(10_000)]))
    corpus = Corpus((path,), (), Reading("blankLine"), None, 1)
    found = [(excerpt, 0) for excerpt in excerpts_of(corpus, 40_000)]
    assert 5 < len(found) <= 10
    texts = list(drawing.training_texts(corpus, found, lambda count: None))
    assert 40_000 <= sum(map(len, texts)) < 60_000
    assert 0 < sum(read) < path.stat().st_size / 2


def uncut(corpus: Corpus) -> Corpus:
    """The same, with nothing held out: then nothing needs numbers."""
    return dataclasses.replace(corpus, share=None)


def excerpts_of(corpus: Corpus, most: int) -> Iterator[drawing.Excerpt]:
    windows = draw(corpus.files, most, corpus.seed)
    for file in corpus.files:
        yield from drawing.excerpts(file, windows.get(file, ()), corpus.reading)


@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=9),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
    smallest=st.integers(1, 500),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_windows_are_apart_and_in_proportion(
    sizes: list[int], share: float, seed: int, smallest: int
) -> None:
    total = sum(sizes)
    most = int(total * share)
    if not most:
        return
    names: list[TextFile] = [Path(f"{number}") for number in range(len(sizes))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "SMALLEST", smallest)
        patch.setattr(drawing, "size_of", lambda file: sizes[int(str(file))])
        windows = draw(names, most, seed)
    count = min(max(most // smallest, 1), drawing.PLACES)
    drawn = 0
    for name, size in zip(names, sizes, strict=True):
        behind = 0
        for window in windows.get(name, ()):
            assert behind <= window.begin < window.end <= size
            behind = window.end
            drawn += window.size
        mine = sum(window.size for window in windows.get(name, ()))
        assert abs(mine - size * most / total) <= 2 * (most / count) + count
    assert most - count < drawn <= most


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
        patch.setattr(drawing, "LOOK", look)
        cut = [file for part in parts(corpus, size) for file in part.files]
        windows = draw(cut, most, 1)
        before, seen = 0, 0
        for file in cut:
            found = drawing.excerpts(file, windows.get(file, ()), reading)
            *numbers, count = drawing.count(file, found, reading, lambda read: None)
            for excerpt, number in zip(found, numbers, strict=True):
                mine = [piece.text for piece in records(excerpt.file, reading)]
                first = before + number
                assert mine == documents[first : first + len(mine)]
                seen += excerpt.most
            before += count
        assert before == len(documents)
        assert seen <= most


def test_a_document_that_is_longer_than_all_windows_is_read_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "LOOK", 2000)
    monkeypatch.setattr("lmtrainer.text.documents.PIECE", 1000)
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {number}\n" for number in range(30_000)))
    corpus = Corpus((path,), (), Reading("blankLine"), None, 1)
    told: list[int] = []
    found = [(excerpt, 0) for excerpt in excerpts_of(corpus, 50_000)]
    text = "".join(drawing.training_texts(corpus, found, told.append))
    assert 50_000 <= len(text) < 53_000
    assert path.read_text().startswith(text)
    assert sum(told) < 60_000
