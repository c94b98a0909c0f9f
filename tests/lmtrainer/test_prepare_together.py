"""A dataset that several nodes make: the bytes of one that a node made alone, in every way."""

import dataclasses
import json
import threading
from collections import Counter
from pathlib import Path

import pytest

from lmtrainer.dataset import (
    Company,
    Following,
    Leading,
    follow,
    following,
    prepare,
    reading,
    rounds,
    sharding,
    tasks,
)
from lmtrainer.dataset.following import OtherTextError
from lmtrainer.durable import verify_manifest
from lmtrainer.faults import UserError
from tests.lmtrainer.notes import SECONDS, GoneError, Notes
from tests.runs import jargon

SIZE = 20_000
FILES = 4


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("lmtrainer.text.parts.SMALLEST", 5000)
    monkeypatch.setattr("lmtrainer.text.drawing.SMALLEST", 1000)
    monkeypatch.setattr(reading, "WORTH_SHARING", 0)
    monkeypatch.setattr(rounds, "PULSE_SECONDS", SECONDS)


@pytest.fixture
def text(tmp_path):
    """A claim with a few files of text, each worth several parts."""
    whole = jargon(600).encode("ascii", "ignore")
    folder = tmp_path / "text"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.txt").write_bytes(whole[number * SIZE : (number + 1) * SIZE])
    return folder


@pytest.fixture
def made(tmp_path, text, run_config):
    """Prepares with so many nodes; the manifest's sha256 and what was announced."""

    def make(name, helpers, seen=(), *, progress=lambda *_: None, sample=None, **data):
        validation = {"share": 0.1}
        run = run_config(
            data={"train": ["pvc://text/*.txt"], "processes": 1, "validation": validation, **data},
            tokenizer={"train": {"type": "wordpiece", "vocabSize": 400}},
            model={"type": "bert", "preset": "tiny"},
            phases=[{"name": "main", "steps": 5, "sequenceLength": 32, "globalBatchSize": 8}],
        )
        train = dataclasses.replace(run.tokenizer.train, max_bytes=sample)
        run = dataclasses.replace(run, tokenizer=dataclasses.replace(run.tokenizer, train=train))
        claims = {"text": str(text), "scratch": str(tmp_path / "scratch")}
        board = Notes(here=1 + helpers)
        faults = []

        def other(number):
            try:
                sees = {**claims, **dict(seen).get(number, {})}
                follow(run, sees, Following(board))
            except Exception as fault:
                faults.append(fault)
                board.here -= 1
                board.gone = True

        threads = [threading.Thread(target=other, args=(n,)) for n in range(helpers)]
        for thread in threads:
            thread.start()
        leader = Leading(board)
        try:
            found = prepare(run, tmp_path / name, claims, progress, Company(nodes=leader))
        except GoneError:
            assert faults
        finally:
            board.gone = False
            leader.end()
            for thread in threads:
                thread.join(20)
        if faults:
            raise faults[0]
        kinds = [json.loads(n) for k, n in sorted(board.notes.items()) if n and "round" in k]
        return found, [announced["kind"] for announced in kinds]

    (tmp_path / "scratch").mkdir()
    return make


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"validation": {"files": ["pvc://text/1.txt"]}},
        {"cache": "pvc://scratch/lm"},
        {"train": ["pvc://text/0.txt", "pvc://text/[23].txt"], "weights": [2, 1]},
    ],
    ids=["a share held out", "files held out", "a cache", "weights"],
)
def test_nodes_together_make_the_bytes_of_one(made, tmp_path, data):
    alone, announced = made("alone", 0, **data)
    counted = ["count"] if "validation" not in data else []
    assert announced == ["read", *counted, "encode"]
    verify_manifest(alone.dataset)
    if "cache" in data:
        data = {**data, "cache": "pvc://scratch/other"}
    together, announced = made("together", 2, **data)
    assert announced == ["read", *counted, "encode"]
    assert together.manifest_sha256 == alone.manifest_sha256
    assert len(list(alone.dataset.glob("*.tokens"))) > 10
    assert not list(tmp_path.rglob("parts-*"))


@pytest.mark.parametrize("validation", [{"share": 0.1}, {"files": ["pvc://text/1.txt"]}])
def test_a_tokenizer_of_some_of_the_text_is_the_same_too(made, validation):
    whole, _ = made("whole", 0, validation=validation)
    alone, announced = made("alone", 0, validation=validation, sample=20_000)
    counted = ["count"] if "share" in validation else []
    assert announced == ["read", *counted, "encode"]
    together, announced = made("together", 2, validation=validation, sample=20_000)
    assert announced == ["read", *counted, "encode"]
    assert together.manifest_sha256 == alone.manifest_sha256 != whole.manifest_sha256
    assert together.train.documents == whole.train.documents
    ours, theirs = ((p.tokenizer / "vocab.txt").read_text() for p in (alone, whole))
    assert ours != theirs


def test_the_name_of_a_dataset_does_not_depend_on_who_read_the_text(made, monkeypatch):
    shared, _ = made("shared", 1)
    monkeypatch.setattr(reading, "WORTH_SHARING", 1 << 30)
    kept, announced = made("shared", 1)
    assert kept.manifest_sha256 == shared.manifest_sha256
    assert announced == [], "everything is there: the others have nothing to do"


def test_progress_counts_what_others_did(made):
    told = []
    made("out", 2, progress=lambda activity, done, total: told.append((activity, done, total)))
    for activity in ("read text", "count documents", "encode text"):
        rows = [row for row in told if row[0] == activity]
        assert rows[-1][1:] == (FILES * SIZE, FILES * SIZE)
        assert [done for _, done, _ in rows] == sorted(done for _, done, _ in rows)


def test_a_part_that_another_one_had_first_stays(made, monkeypatch):
    """As of a node that was given up and works on."""
    removed = []
    monkeypatch.setattr(sharding, "remove", removed.append)
    first, _ = made("out", 0)
    (place,) = removed
    before = {path: path.stat().st_ino for path in place.rglob("*.tokens")}
    monkeypatch.setattr(tasks, "is_done", lambda work, folder: False)
    monkeypatch.setattr(tasks, "discard", lambda folder: None)
    (first.dataset / "manifest.json").unlink()
    again, announced = made("out", 0)
    assert announced == ["read", "count", "encode"]
    assert {path: path.stat().st_ino for path in place.rglob("*.tokens")} == before
    assert again.manifest_sha256 == first.manifest_sha256
    assert not list(place.glob(".tmp*"))


def test_a_part_that_is_damaged_is_made_anew(made, monkeypatch):
    removed = []
    monkeypatch.setattr(sharding, "remove", removed.append)
    first, _ = made("out", 0)
    victim = sorted(removed[0].rglob("train-00000.tokens"))[1]
    victim.unlink()
    victim.write_bytes(b"no ids")
    (first.dataset / "manifest.json").unlink()
    again, _ = made("out", 1)
    assert again.manifest_sha256 == first.manifest_sha256
    verify_manifest(again.dataset)


@pytest.fixture
def slow_to_show(monkeypatch):
    """Files of other machines are seen a few looks later."""
    looks = Counter()

    def after(seconds):
        for module in (sharding, following):
            monkeypatch.setattr(module, "LOOK_SECONDS", SECONDS)
            monkeypatch.setattr(module, "SHOWN_SECONDS", seconds)

        def shown(path):
            looks[path] += 1
            return Path.is_file(path) and looks[path] > 3

        def sha256(folder):
            looks[folder] += 1
            return real(folder) if looks[folder] > 3 else None

        real = following._sha256
        monkeypatch.setattr(following, "_sha256", sha256)
        monkeypatch.setattr(sharding, "_is_shown", shown)
        return looks

    return after


def test_what_a_network_file_system_hides_for_a_while_is_waited_for(made, slow_to_show):
    alone, _ = made("alone", 0)
    looks = slow_to_show(20)
    together, _ = made("together", 1)
    assert together.manifest_sha256 == alone.manifest_sha256
    assert set(looks.values()) == {4}


def test_a_node_without_the_leaders_tokenizer_says_so(made, slow_to_show):
    slow_to_show(0)
    with pytest.raises(OtherTextError, match="is not the tokenizer that the leader made"):
        made("out", 1)


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_a_mistake_in_the_text_is_told_by_whoever_finds_it(made, text, helpers):
    path = text / "2.txt"
    path.write_bytes(path.read_bytes()[:9000] + b"\xff" + path.read_bytes()[9001:])
    with pytest.raises(UserError, match=r"2\.txt: byte 0xff at offset 9000"):
        made("out", helpers)
