"""Feature 8 of the trainer: text, tokenizers and models in an object store, tried against a server
that speaks S3, on loopback."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from lmtrainer.config import MistakesError
from lmtrainer.faults import UserError
from lmtrainer.s3 import StoreError, asking
from lmtrainer.text.files import TextFile
from lmtrainer.text.parts import parts
from lmtrainer.text.records import Reading
from lmtrainer.text.sources import expand, folder
from lmtrainer.text.split import Corpus
from tests.lmtrainer.drawn import drawn
from tests.rows.prepared import configured, ids, made

DOCUMENTS = [f"some words of text number {n}\nand a line more" for n in range(60)]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of an empty bucket `corpus`, with credentials and endpoint in the usual places."""
    usual = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "HOME": str(tmp_path / "home"),
    }
    for name, value in usual.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="corpus")
    yield client
    for found in client.list_objects_v2(Bucket="corpus").get("Contents", []):
        client.delete_object(Bucket="corpus", Key=found["Key"])
    client.delete_bucket(Bucket="corpus")
    s3fs.S3FileSystem.clear_instance_cache()


def put(store: Any, key: str, text: str) -> None:
    store.put_object(Bucket="corpus", Key=key, Body=text.encode())


def names(*locations: str) -> list[str]:
    return [str(file) for file in expand(locations, {})]


def test_a_location_names_files_of_a_store_as_it_would_of_a_folder(store: Any) -> None:
    for key in ("wiki/b.txt", "wiki/a.txt", "wiki/deep/c.txt", "wiki/.hidden", "wiki/d.csv"):
        put(store, key, "text")
    a, b, c, d = (f"s3://corpus/wiki/{name}" for name in ("a.txt", "b.txt", "deep/c.txt", "d.csv"))
    assert names("s3://corpus/wiki/*.txt") == [a, b]
    assert names("s3://corpus/wiki") == [a, b, d, c]
    assert names("s3://corpus/wiki/**/*.txt") == [a, b, c]
    assert names("s3://corpus/wiki/b.txt", "s3://corpus/wiki/*.txt") == [b, a]
    with pytest.raises(UserError, match=r"data.train\[0\]: s3://corpus/other/\* matches 0 files"):
        names("s3://corpus/other/*")
    with pytest.raises(UserError, match=r"s3://nothing/a.txt(:| matches 0 files)"):
        names("s3://nothing/a.txt")


def test_a_store_that_cannot_be_reached_is_no_mistake_of_the_users(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a.txt", "text")
    s3fs.S3FileSystem.clear_instance_cache()
    with monkeypatch.context() as patch:
        patch.setattr(asking, "WAITS", (0.0,))
        patch.setattr(s3fs.S3FileSystem, "retries", 1)
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(StoreError, match=r"s3://corpus/a.txt: the store fails after 2 tries"):
            names("s3://corpus/a.txt")
    s3fs.S3FileSystem.clear_instance_cache()
    assert names("s3://corpus/a.txt") == ["s3://corpus/a.txt"]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that are fetched, each time."""
    found: list[int] = []
    real = s3fs.core.S3File._fetch_range

    def fetch(self: Any, start: int, end: int) -> bytes:
        found.append(end - start)
        return bytes(real(self, start, end))

    monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", fetch)
    return found


LARGE = "\n\n".join(f"text number {n} " + "with some words " * 8 for n in range(20_000))


@pytest.fixture
def large(store: Any, tmp_path: Path) -> list[TextFile]:
    """The same text in a store and on the disk."""
    put(store, "a.txt", LARGE)
    path = tmp_path / "a.txt"
    path.write_text(LARGE)
    return [*expand(["s3://corpus/a.txt"], {}), path]


def test_of_a_sample_little_more_is_fetched_than_is_drawn(
    large: list[TextFile], fetched: list[int]
) -> None:
    far, here = (drawn([file], 200_000, Reading("blankLine")) for file in large)
    assert far == here
    assert 190_000 < sum(map(len, here)) < 210_000
    # Of each of three windows, its beginning and end are found with blocks of 64 kB.
    assert sum(fetched) < 1_200_000 < len(LARGE) / 2


def test_to_cut_a_file_little_of_it_is_fetched(large: list[TextFile], fetched: list[int]) -> None:
    found = []
    for file in large:
        corpus = Corpus((file,), (), Reading("blankLine"), None, 1)
        found.append([part.size for part in parts(corpus, len(LARGE) // 4)])
    far, here = found
    assert far == here
    assert len(here) == 4
    assert sum(fetched) < 600_000 < len(LARGE) / 4


def test_text_of_a_store_is_prepared_like_that_of_a_folder(store: Any, tmp_path: Path) -> None:
    half = len(DOCUMENTS) // 2
    put(store, "a.txt", "\n\n".join(DOCUMENTS[:half]))
    put(store, "b.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in DOCUMENTS[half:]))
    data = {"train": ["s3://corpus/*"], "validation": {"share": 0.2}}
    run = configured(data=data)
    far = made(tmp_path, run)
    (tmp_path / "local").mkdir()
    run_here = configured(data={"validation": {"share": 0.2}})
    here = made(tmp_path / "local", run_here, "\n\n".join(DOCUMENTS))
    assert ids(far.train) == ids(here.train)
    assert ids(far.validation) == ids(here.validation)
    files = {path: path.stat().st_mtime_ns for path in far.dataset.iterdir()}
    made(tmp_path, run)
    assert {path: path.stat().st_mtime_ns for path in far.dataset.iterdir()} == files
    put(store, "a.txt", "\n\n".join(DOCUMENTS[:half]).replace("line", "word", 1))
    made(tmp_path, run)
    assert {path: path.stat().st_mtime_ns for path in far.dataset.iterdir()} != files


def test_text_that_changes_while_it_is_read_is_refused(store: Any, tmp_path: Path) -> None:
    put(store, "a.txt", "\n\n".join(DOCUMENTS))

    def change(activity: str, done: int, total: int | None) -> None:
        if activity == "encode text":
            put(store, "a.txt", "other text")

    data = {"train": ["s3://corpus/a.txt"], "validation": {"share": 0.2}}
    with pytest.raises(UserError, match=r"s3://corpus/a.txt: changed while it was read"):
        made(tmp_path, configured(data=data), progress=change)


def test_a_tokenizer_of_a_store_is_copied_once_for_each_version(store: Any, tmp_path: Path) -> None:
    source = made(tmp_path, configured(data={"documents": "line"}), "\n".join(DOCUMENTS))
    for path in source.tokenizer.iterdir():
        store.upload_file(str(path), "corpus", f"mine/{path.name}")
    data = {"documents": "line", "sequences": "blocks"}
    run = configured(data=data, tokenizer={"from": "s3://corpus/mine"})
    (tmp_path / "again").mkdir()
    again = made(tmp_path / "again", run, "\n".join(DOCUMENTS))
    assert ids(again.train) == ids(source.train)
    first = folder("s3://corpus/mine", {})
    assert folder("s3://corpus/mine", {}) == first
    put(store, "mine/tokenizer_config.json", "{}")
    assert folder("s3://corpus/mine", {}) != first


def test_without_the_extra_it_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(
        UserError, match=r's3:// needs the extra s3 .*pip install "lmtrainer\[s3\]"'
    ):
        names("s3://corpus/a.txt")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        UserError, match=r'hf:// needs the extra hf .*pip install "lmtrainer\[hf\]"'
    ):
        names("hf://datasets/owner/name/a.txt")


def test_results_are_not_written_to_a_store() -> None:
    with pytest.raises(
        MistakesError, match=r"output.to: cannot be written to .* give a pvc:// fol"
    ):
        configured(output={"to": "s3://corpus/results"})
