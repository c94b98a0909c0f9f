"""Row 31: datasets and tokenizers of the Hugging Face hub, out of its cache alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lmtrainer.faults import UserError
from lmtrainer.text.records import Reading, records
from lmtrainer.text.sources import expand, folder
from tests.rows.forms import (
    TEXTS,
    write_csv,
)
from tests.rows.prepared import configured, ids, made


def cached(cache: Path, name: str, kind: str, files: dict[str, Path]) -> str:
    """Lay files into a cache of the Hub as its library does: links to blobs; returns the commit."""
    commit = "a" * 40
    home = cache / f"{kind}s--{name.replace('/', '--')}"
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    for number, (path, source) in enumerate(files.items()):
        shutil.copyfile(source, home / "blobs" / str(number))
        place = home / "snapshots" / commit / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(home / "blobs" / str(number))
    return commit


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, without a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "hub"


def test_row_031_a_dataset_of_the_hub_is_read_from_the_cache_alone(
    tmp_path: Path, cache: Path
) -> None:
    write_csv(tmp_path / "a.csv", "raw")
    files = {f"{config}/train.csv": tmp_path / "a.csv" for config in ("plain", "raw")}
    commit = cached(cache, "owner/name", "dataset", files)
    for place in ("raw", "raw/*.csv", "raw/train.csv"):
        for name in ("name", f"name@{commit}"):
            (found,) = expand([f"hf://datasets/owner/{name}/{place}"], {})
            rows = list(records(found, Reading("blankLine")))
            assert [piece.text for piece in rows] == TEXTS
    with pytest.raises(
        UserError, match=r"data.train\[0\]: hf://datasets/owner names no repository"
    ):
        expand(["hf://datasets/owner"], {})
    with pytest.raises(UserError, match=r"dataset owner/other is not to be had.*HF_HUB_OFFLINE"):
        expand(["hf://datasets/owner/other/a.csv"], {})
    with pytest.raises(UserError, match="not to be had"):
        expand(["hf://datasets/owner/name@" + "b" * 40 + "/raw"], {})


def test_row_031_a_tokenizer_of_the_hub_is_taken_from_the_cache(
    tmp_path: Path, cache: Path
) -> None:
    source = made(tmp_path, configured(data={"documents": "line"}), "\n".join(TEXTS))
    cached(cache, "owner/tok", "model", {path.name: path for path in source.tokenizer.iterdir()})
    (tmp_path / "again").mkdir()
    run = configured(data={"sequences": "lines"}, tokenizer={"from": "hf://owner/tok"})
    again = made(tmp_path / "again", run, "\n".join(TEXTS))
    assert ids(again.train) == ids(source.train)
    place = folder("hf://owner/tok", {})
    assert folder("hf://owner/tok", {}) == place
    assert not any(path.is_symlink() for path in place.iterdir())
