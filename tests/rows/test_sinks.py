"""Feature 8 of the trainer: results in an object store, tried against a server that speaks S3, on
loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lmtrainer.config import MistakesError, config_hash, parse
from lmtrainer.config.command import CommandConfig
from lmtrainer.durable import verify_manifest
from lmtrainer.faults import FencedError, InterruptedRunError, UserError
from lmtrainer.output import claim
from lmtrainer.output.copy import copy, reserve
from lmtrainer.output.identity import identity_of, identity_text, write_identity
from lmtrainer.s3 import StoreError, asking
from lmtrainer.stage import StageContext
from lmtrainer.stages import evaluate, prepare
from tests.rows import copy_results, small_run
from tests.rows.objectstore import BUCKET, ENVIRONMENT, Request, Server, serving

URL = f"s3://{BUCKET}/team/mine"
PREFIX = "team/mine/"
MANIFEST = f"{PREFIX}manifest.json"
RUN = f"{PREFIX}run.json"
WEIGHTS = "model/model.safetensors"
SIZE, LARGE = 100_000, 20 << 20
"""Bytes of weights; large ones are sent in three parts."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of an empty bucket, with credentials and endpoint in the usual places."""
    environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url, "HOME": str(tmp_path / "home")}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(asking, "WAITS", (0.0,) * len(asking.WAITS))
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    server.requests.clear()
    yield client
    server.rule = lambda request: None
    for key in keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run that copied nothing."""
    folder = tmp_path_factory.mktemp("run")
    small_run.carry_out(folder)
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output folder with little in it."""
    folder = tmp_path / "out"
    (folder / "model").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / WEIGHTS).write_bytes(os.urandom(SIZE))
    (folder / "model/config.json").write_text("{}")
    (folder / "checkpoints/state").write_text("large")
    (folder / "evaluation.json").write_text('{"perplexity": 1}')
    (folder / "loss.png").write_bytes(b"png")
    write_identity(folder, identity_of(copy_results.run_of(folder, URL), copy_results.JOB, 1))
    return folder


def keys(store: Any) -> list[str]:
    found = store.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [item["Key"] for item in found]


def body(store: Any, key: str) -> bytes:
    content: bytes = store.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return content


def assert_whole(store: Any, names: set[str]) -> None:
    """The manifest names these files, and they are what it says."""
    files = json.loads(body(store, MANIFEST))["files"]
    assert set(files) == names
    for name, fact in files.items():
        content = body(store, PREFIX + name)
        assert len(content) == fact["size"]
        assert hashlib.sha256(content).hexdigest() == fact["sha256"], name


SMALL = {WEIGHTS, "model/config.json", "evaluation.json", "loss.png"}


class Evaluation:
    """The stage `evaluate` of a finished run, in a folder of its own."""

    def __init__(self, finished: Path, folder: Path, **fields: Any) -> None:
        self.folder = folder
        self.output = folder / "out"
        shutil.copytree(finished / "out", self.output)
        (self.output / "records/evaluate.json").unlink()
        fields = {"output": {"to": str(self.output), "copyTo": URL}, **fields}
        self.run = small_run.run_of(finished, **fields)

    def context(self, stage: Any = "evaluate", uid: str = "job-a") -> StageContext:
        context = small_run.context(self.folder, stage, self.run)
        return dataclasses.replace(context, node=dataclasses.replace(context.node, job_uid=uid))

    def carry_out(self, uid: str = "job-a") -> None:
        evaluate.run(self.context(uid=uid))

    @property
    def done(self) -> bool:
        """Is there a record, and was it told?"""
        record = (self.output / "records/evaluate.json").exists()
        assert record == (self.folder / "node/completion.json").exists()
        return record


def test_results_arrive_whole_and_a_user_can_work_with_them(
    store: Any, server: Server, finished: Path, tmp_path: Path
) -> None:
    job = Evaluation(finished, tmp_path)
    job.carry_out()
    assert job.done
    files = [path for path in job.output.rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(job.output)) for path in files}
    apart = ("checkpoints", "dataset", "tokenizer", "records", "run.json", "lock", "prepared.json")
    wanted = {name for name in wanted if not name.startswith(apart)}
    wanted.add("dataset.json")
    for name in ("evaluation.json", "all_results.json", "eval_results_lm.txt", "loss.png"):
        assert name in wanted
    assert {"model/README.md", "metrics.jsonl", "configuration.json"} < wanted
    assert_whole(store, wanted)
    assert server.sent()[-1] == MANIFEST
    assert keys(store) == sorted(PREFIX + name for name in {*wanted, "manifest.json", "run.json"})
    there = tmp_path / "there"
    there.mkdir()
    for key in keys(store):
        if key.startswith(f"{PREFIX}model/"):
            (there / key.rpartition("/")[2]).write_bytes(body(store, key))
    verify_manifest(there)
    model = AutoModelForMaskedLM.from_pretrained(there)
    assert model.config.hidden_size == 16
    assert AutoTokenizer.from_pretrained(there).vocab_size > 100


def test_a_copy_that_is_whole_is_not_made_again(
    store: Any, server: Server, finished: Path, tmp_path: Path
) -> None:
    job = Evaluation(finished, tmp_path)
    job.carry_out()
    server.sent()
    job.carry_out()
    assert server.sent() == []


def test_without_a_whole_copy_the_stage_is_not_done_and_it_is_not_measured_again(
    store: Any, server: Server, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Evaluation(finished, tmp_path)
    server.rule = lambda request: "500 InternalError" if request == ("PUT", MANIFEST) else None
    with pytest.raises(StoreError, match=r"output\.copyTo: s3://results/team/mine: the store fa"):
        job.carry_out()
    assert not job.done
    server.rule = lambda request: None
    server.sent()
    monkeypatch.setattr(evaluate, "_evaluate", None)
    job.carry_out()
    assert job.done
    assert server.sent() == [MANIFEST]


@pytest.mark.parametrize("held", [f"{PREFIX}loss.png", f"{PREFIX}{WEIGHTS}"])
def test_a_copy_that_was_killed_goes_on_and_sends_nothing_twice(
    held: str, store: Any, server: Server, output: Path
) -> None:
    """The one file is held back in the middle of all of them, the other in the middle of itself."""
    (output / WEIGHTS).write_bytes(os.urandom(LARGE))
    came, go_on = threading.Event(), threading.Event()
    parts = []

    def hold(request: Request) -> str | None:
        if request == ("PUT", held):
            parts.append(request)
            if held.endswith(".png") or len(parts) == 2:
                came.set()
                go_on.wait(30)
                return "500 InternalError"
        return None

    server.rule = hold
    command = [sys.executable, copy_results.__file__, str(output), URL]
    with subprocess.Popen(command) as process:
        assert came.wait(30)
        process.kill()
    go_on.set()
    server.rule = lambda request: None
    assert MANIFEST not in keys(store)
    before = set(keys(store))
    assert PREFIX + "evaluation.json" in before
    assert held not in before
    half_sent = "Uploads" in store.list_multipart_uploads(Bucket=BUCKET)
    assert half_sent == held.endswith(WEIGHTS)
    server.sent()
    done = copy_results.copied(output, URL)
    sent = server.sent()
    assert not set(sent) & before
    assert set(sent) == {PREFIX + name for name in (*SMALL, "manifest.json")} - before
    assert done.sent == len(set(sent)) - 1
    assert_whole(store, SMALL)
    assert "Uploads" not in store.list_multipart_uploads(Bucket=BUCKET)


def test_a_bucket_that_is_not_there_is_told_before_anything_is_prepared(
    store: Any, finished: Path, tmp_path: Path
) -> None:
    place = {"to": str(tmp_path / "new"), "copyTo": "s3://nowhere/mine"}
    run = small_run.run_of(finished, output=place)
    words = (
        r"output\.copyTo: s3://nowhere/mine: there is no such bucket \(NoSuchBucket: .*\); "
        r"create it, or correct its name or the endpoint \(AWS_ENDPOINT_URL\)"
    )
    with pytest.raises(UserError, match=words):
        prepare.run(small_run.context(tmp_path, "prepare", run))
    assert not (tmp_path / "new/dataset").exists()
    assert not (tmp_path / "new/tokenizer").exists()


def refusing(code: str, *methods: str) -> Callable[[Request], str | None]:
    return lambda request: code if request[0] in methods else None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            refusing("403 AccessDenied", "PUT"),
            r"is not allowed \(AccessDenied: by the test\); ",
        ),
        (
            refusing("403 AccessDenied", "GET"),
            r"is not allowed .*with the rights s3:ListBucket",
        ),
        (refusing("403 SignatureDoesNotMatch", "PUT"), r"is not allowed \(SignatureDoesNotMatch"),
        (
            refusing("400 AuthorizationHeaderMalformed", "PUT"),
            r"is refused .*check the name",
        ),
    ],
)
def test_what_the_store_refuses_is_a_mistake_of_the_users(
    rule: Any, words: str, store: Any, server: Server, output: Path
) -> None:
    server.rule = rule
    with pytest.raises(UserError, match=rf"^output\.copyTo: {URL}: {words}"):
        copy_results.copied(output, URL)


def test_missing_credentials_are_told_with_the_way_out(
    store: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    words = r"there are no credentials .*; set AWS_ACCESS_KEY_ID and .* by pods.env out of a Secret"
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match=words):
        copy_results.copied(output, URL)


def test_without_the_extra_it_is_told_how_to_get_it(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    words = r'output\.copyTo: .*s3:// needs the extra s3 .*pip install "lmtrainer\[s3\]"'
    with pytest.raises(UserError, match=words):
        copy_results.copied(output, URL)


def test_a_store_that_stumbles_is_asked_again(store: Any, server: Server, output: Path) -> None:
    failed: list[Request] = []

    def stumble(request: Request) -> str | None:
        if request in failed or request[0] not in ("PUT", "GET", "HEAD"):
            return None
        failed.append(request)
        return "503 ServiceUnavailable"

    server.rule = stumble
    copy_results.copied(output, URL)
    assert len(failed) > 10
    assert_whole(store, SMALL)


def test_a_store_that_does_not_answer_is_given_up_in_time_and_is_no_mistake_of_the_users(
    store: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match=r"the store fails after 4 tries \(EndpointConnectionErr"):
        copy_results.copied(output, URL)


def test_what_rotted_in_the_store_is_found_and_sent_again(
    store: Any, server: Server, output: Path
) -> None:
    copy_results.copied(output, URL)
    content = bytearray(body(store, PREFIX + WEIGHTS))
    content[SIZE // 2] ^= 1
    facts = store.head_object(Bucket=BUCKET, Key=PREFIX + WEIGHTS)["Metadata"]
    store.put_object(Bucket=BUCKET, Key=PREFIX + WEIGHTS, Body=bytes(content), Metadata=facts)
    store.delete_object(Bucket=BUCKET, Key=MANIFEST)
    server.sent()
    copy_results.copied(output, URL)
    assert set(server.sent()) == {PREFIX + WEIGHTS, MANIFEST}
    assert_whole(store, SMALL)


def test_results_of_another_run_are_not_touched(store: Any, server: Server, output: Path) -> None:
    copy_results.copied(output, URL)
    server.sent()
    other = copy_results.run_of(output, URL, seed=2)
    with pytest.raises(UserError, match=r"holds another run .*: seed is 1 there, 2 here; choose"):
        reserve(URL, other, "job-b", 1)
    never = dataclasses.replace(
        other, checkpoint=dataclasses.replace(other.checkpoint, resume="never")
    )
    assert reserve(URL, never, "job-b-uid", 1).url == f"{URL}-job-b-ui"
    assert reserve(URL, never, "job-b-uid", 2).url == f"{URL}-job-b-ui"
    assert [key for key in server.sent() if key.startswith(PREFIX)] == []


def test_objects_that_no_run_made_are_not_mixed_with_results(store: Any, output: Path) -> None:
    store.put_object(Bucket=BUCKET, Key=f"{PREFIX}notes.txt", Body=b"mine")
    with pytest.raises(UserError, match=r"no run is known to have made, first: notes.txt; give an"):
        copy_results.copied(output, URL)
    assert keys(store) == [f"{PREFIX}notes.txt"]


def test_another_job_of_the_same_configuration_goes_on_with_the_copy(
    store: Any, server: Server, output: Path
) -> None:
    copy_results.copied(output, URL)
    server.sent()
    run = copy_results.run_of(output, URL)
    with claim(output, run, "job-b", 1) as mine:
        folder = reserve(URL, run, "job-b", 1)
        assert server.sent() == [RUN]
        copy(mine, copy_results.NAMES, folder, run, tell=lambda done, total: None)
        assert server.sent() == []


def test_who_lost_the_prefix_meanwhile_does_not_finish(store: Any, output: Path) -> None:
    run = copy_results.run_of(output, URL)

    theirs = identity_text(identity_of(run, "job-b", 1)).encode()

    def taken(done: int, total: int) -> None:
        store.put_object(Bucket=BUCKET, Key=RUN, Body=theirs)

    with claim(output, run, "job-a", 1) as mine:
        folder = reserve(URL, run, "job-a", 1)
        with pytest.raises(FencedError, match="belongs to job job-b now"):
            copy(mine, ("loss.png",), folder, run, tell=taken)
    assert MANIFEST not in keys(store)


def test_a_reader_never_finds_a_manifest_beside_other_files(
    store: Any, server: Server, output: Path
) -> None:
    (output / "model/old.json").write_text("{}")
    copy_results.copied(output, URL)
    store.put_object(Bucket=BUCKET, Key=f"{PREFIX}notes.txt", Body=b"mine")
    (output / "model/old.json").unlink()
    (output / "evaluation.json").write_text('{"perplexity": 2}')
    seen = []

    def look(request: Request) -> None:
        if request[0] in ("PUT", "DELETE") and request[1] not in (MANIFEST, RUN):
            seen.append((request, MANIFEST in keys(store)))

    server.rule = look
    copy_results.copied(output, URL)
    server.rule = lambda request: None
    assert seen == [
        (("DELETE", f"{PREFIX}model/old.json"), False),
        (("PUT", f"{PREFIX}evaluation.json"), False),
    ]
    assert_whole(store, SMALL)
    assert f"{PREFIX}notes.txt" in keys(store)
    assert f"{PREFIX}model/old.json" not in keys(store)


def test_who_is_asked_to_end_ends_while_results_are_copied(
    store: Any, finished: Path, tmp_path: Path
) -> None:
    job = Evaluation(finished, tmp_path)
    context = job.context()
    context.stop.requested = True
    with pytest.raises(InterruptedRunError, match="the next attempt goes on to copy results"):
        evaluate.run(context)
    assert not job.done
    job.carry_out()
    assert job.done


@pytest.mark.slow
def test_large_weights_never_lie_in_memory(store: Any, output: Path) -> None:
    """The libraries and small files take some 80 MiB, four parts 32."""
    size = 200 << 20
    with (output / WEIGHTS).open("wb") as file:
        file.truncate(size)
    command = [sys.executable, copy_results.__file__, str(output), URL]
    grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(grown.split()[-1]) < 160 << 20
    assert json.loads(body(store, MANIFEST))["files"][WEIGHTS]["size"] == size


@pytest.mark.parametrize("url", ["s3://b/a", "s3://my-bucket/team/run_1.2/seed=3"])
def test_where_results_may_be_copied_to(url: str) -> None:
    assert copy_results.run_of(Path("/a/b"), url).output.copy_to == url


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "s3://bucket",
            "s3://bucket/",
            "s3://bucket/a/",
            "s3://bucket//a",
            "s3://bucket/../a",
        ),
        *(
            "s3://bucket/a*",
            "s3://bucket/a b",
            "s3://Bucket/a",
            "s3:/bucket/a",
            "pvc://a/b",
            "/a/b",
        ),
        *("s3://bucket/.a", "s3://bucket/a\n", "s3://bucket/é", "s3://b/" + "a" * 900),
    ],
)
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(MistakesError, match=r"^output\.copyTo: is not s3://BUCKET/FOLDER, of let"):
        copy_results.run_of(Path("/a/b"), url)


def test_a_program_copies_its_own_results() -> None:
    plain = {"command": ["a"], "output": {"to": "pvc://a/b", "copyTo": URL}}
    words = r"output\.copyTo: copies no results of a program of your own .*; copy them in the pro"
    with pytest.raises(MistakesError, match=words):
        parse(CommandConfig, plain)


def test_a_copy_decides_no_weights() -> None:
    run = copy_results.run_of(Path("/a/b"), URL)
    bare = dataclasses.replace(run, output=dataclasses.replace(run.output, copy_to=None))
    assert config_hash(run) == config_hash(bare)
