"""Feature 8 of the trainer: the results of a run in an object store, tried against a server that
speaks S3, on loopback."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lmtrainer.durable import verify_manifest
from lmtrainer.faults import InterruptedRunError, UserError
from lmtrainer.s3 import StoreError
from lmtrainer.stage import StageContext
from lmtrainer.stages import evaluate, prepare
from tests.rows import small_run
from tests.rows.sinks.looks import (
    MANIFEST,
    PREFIX,
    URL,
    assert_whole,
    body,
    keys,
)
from tests.rows.sinks.objectstore import Server


class Evaluation:
    """The stage `evaluate` of a finished run, in a folder of its own."""

    def __init__(self, finished: Path, folder: Path, **fields: Any) -> None:
        self.folder = folder
        self.output = folder / "out"
        shutil.copytree(finished, self.output)
        (self.output / "records/evaluate.json").unlink()
        fields = {"output": {"to": str(self.output), "copyTo": URL}, **fields}
        self.run = small_run.run_of(finished.parent, **fields)

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


def test_a_bucket_that_is_not_there_is_told_before_anything_is_prepared(
    store: Any, finished: Path, tmp_path: Path
) -> None:
    place = {"to": str(tmp_path / "new"), "copyTo": "s3://nowhere/mine"}
    run = small_run.run_of(finished.parent, output=place)
    words = (
        r"output\.copyTo: s3://nowhere/mine: there is no such bucket \(NoSuchBucket: .*\); "
        r"create it, or correct its name or the endpoint \(AWS_ENDPOINT_URL\)"
    )
    with pytest.raises(UserError, match=words):
        prepare.run(small_run.context(tmp_path, "prepare", run))
    assert not (tmp_path / "new/dataset").exists()
    assert not (tmp_path / "new/tokenizer").exists()
