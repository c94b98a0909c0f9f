"""Preparation: done once, kept while everything fits, made anew when anything differs."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from lmtrainer.dataset import home, open_prepared, prepare
from lmtrainer.durable import verify_manifest
from lmtrainer.faults import UserError
from lmtrainer.text.sources import expand
from lmtrainer.text.split import find, pieces

TRAIN = {"type": "wordpiece", "vocabSize": 500}


@pytest.fixture
def corpus(tmp_path):
    """A claim "corpus" with two files of real text."""
    (path,) = expand(["sample://jargon"], {})
    documents = path.read_text("utf-8").split("\n\n")
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(2):
        part = documents[number * 60 : number * 60 + 60]
        (folder / f"{number}.txt").write_text("\n\n".join(part) + "\n", "utf-8")
    return folder


@pytest.fixture
def prepared(corpus, tmp_path, run_config):
    """Prepares with changed fields of the configuration; counts the documents that were encoded."""

    def make(output="out", *, progress=None, cache=None, **fields):
        data = {"train": ["pvc://corpus/*.txt"], "validation": {"share": 0.1}}
        data |= fields.pop("data", {})
        if cache is not None:
            data["cache"] = f"pvc://scratch/{cache}"
        defaults = {
            "data": data,
            "tokenizer": {"train": TRAIN},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [{"name": "main", "steps": 5, "sequenceLength": 32, "globalBatchSize": 8}],
        }
        run = run_config(**{**defaults, **fields})
        claims = {"corpus": str(corpus), "scratch": str(tmp_path / "scratch")}
        told = []

        def tell(activity, done, total):
            told.append((activity, done, total))
            if progress is not None:
                progress(activity, done, total)

        result = prepare(run, tmp_path / output, claims, tell)
        return result, told, run, claims

    (tmp_path / "scratch").mkdir()
    return make


def activities(told):
    return list(dict.fromkeys(activity for activity, _, _ in told))


EVERYTHING = ["read text", "find alphabet", "train tokenizer", "encode text"]
NOTHING = ["read text"]


def documents_of(tokens):
    found = []
    for begin, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
        ids = np.empty(end - begin, dtype=np.int64)
        tokens.copy(int(begin), ids)
        found.append(ids.tolist())
    return found


def test_the_dataset_holds_what_auto_tokenizer_reads_in_every_document(prepared):
    found, _, run, claims = prepared()
    auto = AutoTokenizer.from_pretrained(found.tokenizer, local_files_only=True)
    expected = {"train": [], "validation": []}
    for split, piece in pieces(find(run.data, run.seed, claims)):
        expected[split].append(auto(piece.text, add_special_tokens=False)["input_ids"])
    assert documents_of(found.train) == expected["train"]
    assert documents_of(found.validation) == expected["validation"]
    assert len(expected["train"]) + len(expected["validation"]) == 120
    assert found.counts.sum() == len(found.train)
    assert auto.model_max_length == 512


def test_a_causal_stream_marks_the_end_of_every_document(prepared):
    found, *_ = prepared(
        model={"type": "gpt2", "preset": "tiny"},
        tokenizer={"train": {"type": "bytebpe", "vocabSize": 500}},
    )
    documents = documents_of(found.train)
    assert all(document[-1] == found.vocabulary.eos for document in documents)
    assert found.counts[found.vocabulary.eos] == len(documents)


def test_progress_is_told_in_bytes_of_text(prepared, corpus):
    _, told, *_ = prepared()
    total = sum(path.stat().st_size for path in corpus.iterdir())
    assert activities(told) == EVERYTHING
    for activity in EVERYTHING:
        steps = [(done, whole) for name, done, whole in told if name == activity]
        assert steps[-1] == (total, total)
        assert steps == sorted(steps)


def test_what_is_there_and_fits_is_kept(prepared):
    first, *_ = prepared()
    files = {path: path.stat().st_mtime_ns for path in first.dataset.iterdir()}
    again, told, *_ = prepared()
    assert activities(told) == NOTHING
    assert again.manifest_sha256 == first.manifest_sha256
    assert {path: path.stat().st_mtime_ns for path in again.dataset.iterdir()} == files


def test_the_same_text_and_settings_give_the_same_bytes_elsewhere(prepared):
    first, *_ = prepared("one")
    other, *_ = prepared("two")
    assert first.manifest_sha256 == other.manifest_sha256


def change_a_byte(corpus):
    path = corpus / "1.txt"
    text = path.read_bytes()
    times = path.stat()
    path.write_bytes(text.replace(b"a", b"o", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def rename(corpus):
    (corpus / "1.txt").rename(corpus / "2.txt")


CHANGES = {
    "byte": (change_a_byte, {}),
    "name": (rename, {}),
    "rule": (None, {"data": {"documents": "line"}}),
    "encoding": (None, {"data": {"encoding": "latin-1"}}),
    "share": (None, {"data": {"validation": {"share": 0.2}}}),
    "files": (None, {"data": {"validation": {"files": ["pvc://corpus/1.txt"]}}}),
    "seed": (None, {"seed": 43}),
    "size": (None, {"tokenizer": {"train": {**TRAIN, "vocabSize": 501}}}),
    "case": (None, {"tokenizer": {"train": {**TRAIN, "lowercase": False}}}),
    "longest": (
        None,
        {"model": {"type": "bert", "preset": "tiny", "config": {"maxPositions": 99}}},
    ),
    "objective": (
        None,
        {
            "model": {"type": "gpt2", "preset": "tiny"},
            "tokenizer": {"train": {**TRAIN, "type": "bytebpe"}},
        },
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_of_text_or_settings_makes_it_anew(prepared, corpus, name):
    first, *_ = prepared()
    touch, fields = CHANGES[name]
    if touch is not None:
        touch(corpus)
    other, told, *_ = prepared(**fields)
    assert "encode text" in activities(told)
    assert other.manifest_sha256 != first.manifest_sha256


def test_what_does_not_touch_the_ids_changes_nothing(prepared):
    prepared()
    _, told, *_ = prepared(
        phases=[{"name": "other", "steps": 9, "sequenceLength": 64, "learningRate": 1e-5}],
        optimizer={"weightDecay": 0.1},
        masking={"share": 0.3},
    )
    assert activities(told) == NOTHING


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink], ids=["flipped", "cut", "missing"])
@pytest.mark.parametrize(
    "name",
    [
        "dataset/train-00000.tokens",
        "dataset/train-00000.offsets",
        "dataset/validation-00000.tokens",
        "dataset/train.counts",
        "dataset/manifest.json",
        "tokenizer/tokenizer.json",
        "tokenizer/vocab.txt",
        "tokenizer/manifest.json",
        "prepared.json",
    ],
)
def test_damage_is_found_by_preparation_and_mended(prepared, tmp_path, harm, name):
    first, *_ = prepared()
    harm(tmp_path / "out" / name)
    again, *_ = prepared()
    assert again.manifest_sha256 == first.manifest_sha256
    verify_manifest(again.dataset)
    verify_manifest(again.tokenizer)


@pytest.mark.parametrize("harm", [cut, Path.unlink], ids=["cut", "missing"])
@pytest.mark.parametrize(
    "name",
    [
        "dataset/train-00000.tokens",
        "dataset/validation-00000.offsets",
        "dataset/train.counts",
        "dataset/manifest.json",
        "tokenizer/tokenizer.json",
        "prepared.json",
    ],
)
def test_later_stages_never_open_a_damaged_dataset(prepared, tmp_path, harm, name):
    _, _, run, claims = prepared()
    assert open_prepared(run, tmp_path / "out", claims).train.documents > 0
    harm(tmp_path / "out" / name)
    with pytest.raises(UserError, match=r"start the job again|run the stage prepare"):
        open_prepared(run, tmp_path / "out", claims)


def test_a_dataset_of_another_run_is_not_taken_for_ours(prepared, tmp_path):
    _, _, run, claims = prepared("one")
    prepared("two", seed=43)
    shutil.rmtree(tmp_path / "one" / "dataset")
    shutil.copytree(tmp_path / "two" / "dataset", tmp_path / "one" / "dataset")
    with pytest.raises(UserError, match="another dataset has taken its place"):
        open_prepared(run, tmp_path / "one", claims)


def test_nothing_prepared_is_said_so(prepared, tmp_path):
    _, _, run, claims = prepared()
    with pytest.raises(UserError, match="holds no prepared dataset"):
        open_prepared(run, tmp_path / "elsewhere", claims)


def test_the_tokenizer_never_sees_held_out_text(prepared, corpus):
    held_out = "\n\n".join(f"zyxwvut zyxwvut zyxwvut {n}" for n in range(20))
    (corpus / "held.txt").write_text(held_out)
    files = {"validation": {"files": ["pvc://corpus/held.txt"]}}
    found, *_ = prepared(data=files)
    auto = AutoTokenizer.from_pretrained(found.tokenizer, local_files_only=True)
    assert len(auto.tokenize("zyxwvut")) > 3
    (corpus / "held.txt").rename(corpus / "seen.txt")
    seen, *_ = prepared("other")
    auto = AutoTokenizer.from_pretrained(seen.tokenizer, local_files_only=True)
    assert auto.tokenize("zyxwvut") == ["zyxwvut"]


def test_a_tokenizer_from_a_folder_is_used_as_it_is(prepared, tmp_path):
    source, *_ = prepared("source")
    shutil.copytree(source.tokenizer, tmp_path / "scratch" / "mine")
    fields = {"tokenizer": {"from": "pvc://scratch/mine"}, "data": {"documents": "line"}}
    found, told, *_ = prepared("out", **fields)
    assert activities(told) == ["read text", "encode text"]
    json_of = "tokenizer.json"
    assert (found.tokenizer / json_of).read_bytes() == (source.tokenizer / json_of).read_bytes()
    _, told, *_ = prepared("out", **fields)
    assert activities(told) == NOTHING
    path = tmp_path / "scratch" / "mine" / json_of
    path.write_bytes(path.read_bytes() + b" ")
    _, told, *_ = prepared("out", **fields)
    assert activities(told) == ["read text", "encode text"]


def test_a_tokenizer_without_a_mask_is_refused_for_bert(prepared):
    with pytest.raises(UserError, match="tokenizer: has no cls, sep, mask token"):
        train = {"type": "bytebpe", "vocabSize": 400, "specialTokens": "gpt2"}
        prepared(tokenizer={"train": train})


def test_a_cache_is_shared_by_runs_that_agree_and_kept_apart_for_others(prepared, tmp_path):
    first, told, *_ = prepared("one", cache="lm")
    assert activities(told) == EVERYTHING
    assert tmp_path / "scratch" in first.dataset.parents
    second, told, run, claims = prepared("two", cache="lm")
    assert activities(told) == NOTHING
    assert second.dataset == first.dataset
    assert second.tokenizer == tmp_path / "two" / "tokenizer"
    other, told, *_ = prepared("three", cache="lm", seed=43)
    assert activities(told) == EVERYTHING
    assert other.dataset != first.dataset
    reopened = open_prepared(run, tmp_path / "two", claims)
    assert reopened.manifest_sha256 == first.manifest_sha256
    assert not (tmp_path / "two" / "dataset").exists()


def test_of_two_runs_that_share_a_cache_one_prepares_and_the_other_waits(prepared):
    told_by = {}
    waiting = threading.Event()

    def hold(activity, done, total):
        if activity == "encode text":
            assert waiting.wait(20)

    def other():
        def seen(activity, done, total):
            if activity == "wait for another run":
                waiting.set()

        told_by["two"] = prepared("two", cache="lm", progress=seen)[1]

    thread = threading.Thread(target=other)

    def first(activity, done, total):
        if activity == "encode text" and not thread.is_alive() and "two" not in told_by:
            thread.start()
        hold(activity, done, total)

    _, told, *_ = prepared("one", cache="lm", progress=first)
    thread.join()
    assert activities(told) == EVERYTHING
    assert activities(told_by["two"]) == ["read text", "wait for another run"]


class StopHere(Exception):
    pass


@pytest.mark.parametrize("activity", EVERYTHING)
def test_a_preparation_that_broke_off_leaves_nothing_half_done(prepared, tmp_path, activity):
    def stop(name, done, total):
        if name == activity and done:
            raise StopHere

    with pytest.raises(StopHere):
        prepared(progress=stop)
    names = {path.name for path in tmp_path.glob("out/*")}
    assert names == ({"tokenizer"} if activity == "encode text" else set())
    _, told, *_ = prepared()
    done = {"find alphabet", "train tokenizer"} if activity == "encode text" else set()
    assert activities(told) == [name for name in EVERYTHING if name not in done]


KILLED = """
import os, signal, sys
from pathlib import Path
from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import prepare
run = parse(RunConfig, {
    "data": {"train": ["sample://jargon"], "cache": "pvc://scratch/lm"},
    "tokenizer": {"train": {"vocabSize": 400}}, "model": {"type": "bert"},
    "phases": [{"name": "main", "steps": 1}], "output": {"to": "out"},
})
def progress(activity, done, total):
    if activity == "encode text" and sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[1])
found = prepare(resolve(run, precision="fp32", threads=1), folder / "out",
                {"scratch": str(folder)}, progress)
print(found.manifest_sha256)
"""


def test_a_killed_preparation_is_made_up_for_to_the_byte(tmp_path):
    def run(folder, how):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", KILLED, str(folder), how]
        return subprocess.run(command, capture_output=True, text=True)

    killed = run(tmp_path / "a", "die")
    assert killed.returncode == -signal.SIGKILL
    mended, whole = run(tmp_path / "a", "live"), run(tmp_path / "b", "live")
    assert mended.stdout == whole.stdout != ""
    (place,) = (tmp_path / "a" / "lm").iterdir()
    assert {path.name for path in place.iterdir()} == {"dataset", "lock", "tokenizer"}


def test_text_that_changes_while_it_is_read_is_refused(prepared, corpus):
    path = corpus / "1.txt"
    more = path.read_text("utf-8") + "\n\nOne more document."

    def write(activity, done, total):
        if activity == "encode text" and path.read_text("utf-8") != more:
            path.write_text(more, "utf-8")

    with pytest.raises(UserError, match=r"1.txt: changed while it was read"):
        prepared(progress=write)


def test_a_byte_that_is_not_text_is_named_before_anything_is_made(prepared, corpus, tmp_path):
    (corpus / "1.txt").write_bytes(b"a" * 812 + b"\xff")
    with pytest.raises(
        UserError, match=r"1.txt: byte 0xff at offset 812 is not UTF-8; set data.enc"
    ):
        prepared()
    assert list(tmp_path.glob("out/*")) == []


@pytest.mark.parametrize(
    ("model", "kind"), [({"type": "bert"}, "wordpiece"), ({"type": "gpt2"}, "bytebpe")]
)
def test_text_for_less_than_one_example_is_refused(prepared, corpus, model, kind):
    shutil.rmtree(corpus)
    corpus.mkdir()
    (corpus / "a.txt").write_text("a few words\n\nand some more words\n")
    short = {"name": "short", "steps": 1, "sequenceLength": 4}
    with pytest.raises(
        UserError,
        match=r"data.train: \d+ tokens < phases\[1\].sequenceLength 512: 0 full examples; "
        "lower it or add text",
    ):
        prepared(
            model=model,
            tokenizer={"train": {"type": kind, "vocabSize": 300}},
            phases=[short, {"name": "long", "steps": 1, "sequenceLength": 512}],
        )


def test_held_out_files_without_text_are_refused(prepared, corpus):
    (corpus / "none.dat").write_text(" \n")
    with pytest.raises(UserError, match=r"data.validation: 0 tokens are held out"):
        prepared(data={"validation": {"files": ["pvc://corpus/none.dat"]}})


def test_a_pointer_file_that_says_more_or_less_is_not_believed(tmp_path):
    (tmp_path / home.POINTER_FILE).write_text('{"fingerprint": "x", "surprise": 1}')
    with pytest.raises(UserError, match="holds no prepared dataset"):
        home.read_pointer(tmp_path)


def test_the_data_path_loads_neither_torch_nor_transformers():
    code = "import sys, lmtrainer.dataset; print({'torch', 'transformers'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
