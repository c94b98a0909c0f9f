"""A tokenizer that is trained on some of the text, drawn from all of it, and on nothing else."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lmtrainer import vocab
from lmtrainer.config import ResolvedRun, config_hash
from lmtrainer.text.split import find, pieces
from tests.lmtrainer.drawn import DOCUMENTS, FORMS, SAMPLE, SHARES, shrink, text_of, write
from tests.rows.prepared import TEXT, configured, made


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


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
    made(tmp_path, run)
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
    made(tmp_path, run_of(form))
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
    made(tmp_path, run)
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
        manifests.add(made(tmp_path, run).manifest_sha256)
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
        manifests.append(made(tmp_path, dataclasses.replace(run, seed=seed)).manifest_sha256)
    first, second, third = used
    assert first == third != second
    assert manifests[0] == manifests[2] != manifests[1]


def test_a_sample_of_more_than_there_is_is_everything(
    tmp_path: Path, used: list[list[str]]
) -> None:
    write(tmp_path, "txt")
    for sample in (None, 10**9):
        made(tmp_path, run_of("txt", sample=sample))
    everything, same = used
    assert same == everything
    assert sum(map(len, everything)) > 190_000


@pytest.mark.parametrize("validation", [{"share": 0.2}, {"files": ["pvc://text/a.txt.gz"]}])
def test_of_packed_files_a_sample_may_be_larger_than_they_are(
    tmp_path: Path, used: list[list[str]], validation: dict[str, Any]
) -> None:
    packed = sum(write(tmp_path, "txt.gz").values())
    most = 150_000
    assert packed < 0.8 * most
    run = run_of("txt.gz", sample=most, validation=validation)
    made(tmp_path, run)
    (texts,) = used
    assert 0.95 * most < sum(map(len, texts)) < most + 500
    assert not held_out(tmp_path, run) & set(texts)
    assert {text[0] for text in texts} >= {"b", "c", "d"}


def test_without_a_sample_datasets_and_runs_are_named_as_ever(tmp_path: Path) -> None:
    run = configured(data={"validation": {"share": 0.1}})
    made(tmp_path, run, TEXT)
    pointer = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert (
        pointer["fingerprint"] == "8929ff58d9f2c7748f984aa34e648b7717951c54bd6af50795c77891120e3b9f"
    )
    assert config_hash(run) == "ba4c22d9d78e077dab2a3ff93e5139bed9896a5ed8b941bfc39fb65777dd82a5"
