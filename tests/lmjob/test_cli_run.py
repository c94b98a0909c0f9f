"""`lmjob run FILE` as a user types it; the nodes train nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, str(Path(__file__).with_name("run_fake_cli.py")), "job.yaml")
EVALUATION = {
    "version": 1,
    "perplexity": 123.4,
    "unigramPerplexity": 845.6,
    "accuracy": 0.345,
    "predictions": 12345,
    "fill": [{"text": "A hacker is a [MASK].", "filled": "A hacker is a person."}],
    "lossCurve": "loss.png",
    "model": "model",
}


class Shell:
    """A folder with a job file, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fake: dict[str, Any] = {"folder": str(folder), "steps": 4}
        self.env: list[dict[str, Any]] = []
        self.spec: dict[str, Any] = {
            "workers": {"replicas": 1},
            "data": {"train": ["pvc://corpus/*.txt"]},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [{"name": "main", "steps": 100}],
            "output": {"to": "pvc://results/small"},
        }
        (folder / "volumes" / "corpus").mkdir(parents=True)

    @property
    def output(self) -> Path:
        return self.folder / "volumes/results/small"

    def start(self, *options: str) -> subprocess.Popen[str]:
        fake = {"name": "FAKE", "value": json.dumps(self.fake)}
        spec = {**self.spec, "pods": {"env": [fake, *self.env]}}
        job = {
            "apiVersion": "lmtraining.dev/v1alpha1",
            "kind": "LMTrainingJob",
            "metadata": {"name": "small"},
            "spec": spec,
        }
        (self.folder / "job.yaml").write_text(json.dumps(job))
        return subprocess.Popen(
            (*COMMAND, *options),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str, code: int = 0) -> str:
        with self.start(*options) as process:
            text, _ = process.communicate(timeout=60)
        assert process.returncode == code, text
        return text

    def state(self) -> dict[str, Any]:
        return json.loads((self.output / ".lmjob/job.json").read_text())

    def starts(self) -> int:
        path = self.folder / "journal.jsonl"
        return path.read_text().count('"event": "start"') if path.exists() else 0


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_job_ends_with_its_results(shell):
    shell.output.mkdir(parents=True)
    (shell.output / "evaluation.json").write_text(json.dumps(EVALUATION))
    (shell.output / "loss.png").write_bytes(b"")
    shell.spec["output"]["copyTo"] = "s3://models/small"
    text = shell.run()
    assert text.index("master-0 started") < text.index("worker-0 started")
    for words in (
        "perplexity       123.4   (unigram baseline 845.6)",
        "masked accuracy  34.5%   (12,345 predictions)",
        "A hacker is a [MASK].",
        "-> A hacker is a person.",
        "volumes/results/small/loss.png",
        "copied to        s3://models/small",
        'AutoModelForMaskedLM.from_pretrained("volumes/results/small/model")',
    ):
        assert words in text


def test_a_finished_job_shows_its_results_again_and_starts_nothing(shell):
    shell.run()
    (shell.output / "evaluation.json").write_text(json.dumps(EVALUATION))
    starts, uid = shell.starts(), shell.state()["plan"]["job"]["uid"]
    began = time.monotonic()
    text = shell.run()
    assert time.monotonic() - began < 3
    assert "was done before" in text
    assert "123.4" in text
    assert shell.starts() == starts
    assert shell.state()["plan"]["job"]["uid"] == uid


def test_ctrl_c_tells_how_to_go_on(shell):
    shell.fake |= {"steps": 60, "saves": True}
    corpus = shell.folder / "volumes/corpus"
    with shell.start("--mount", f"corpus={corpus}") as process:
        deadline = time.monotonic() + 20
        while shell.starts() < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"lmjob run job.yaml --mount corpus={corpus}" in text
    assert "stopped at phase main step" in text
    assert "attempt 2: going on with train from phase main step" in shell.run()


def test_a_failure_ends_with_cause_log_way_out_and_exit_code(shell):
    shell.fake["faults"] = {"1": {"at": 0, "exit": "USER_ERROR"}}
    text = shell.run(code=65)
    assert "made to fail at step 0" in text
    assert f"log: {shell.output}/.lmjob/1-prepare-0/log.txt" in text
    assert "correct the job or its data" in text
    assert "lmjob run job.yaml" in text


def test_a_failed_job_runs_again_as_a_new_one_and_keeps_the_old_logs(shell):
    shell.fake["faults"] = {"1": {"at": 0, "exit": "USER_ERROR"}}
    shell.run(code=65)
    first = shell.state()["plan"]["job"]["uid"]
    shell.fake["faults"] = {}
    shell.run()
    assert shell.state()["plan"]["job"]["uid"] != first
    assert shell.state()["memory"]["attempt"] == 1
    assert (shell.output / f".lmjob/earlier/{first[:8]}/1-prepare-0/log.txt").is_file()


def test_a_changed_job_is_a_new_one(shell):
    shell.run()
    first = shell.state()["plan"]["job"]["uid"]
    shell.spec["evaluate"] = {"everySteps": 10}
    shell.run()
    assert shell.state()["plan"]["job"]["uid"] != first


def test_a_job_that_is_to_rest_starts_nothing_until_it_may(shell):
    shell.spec["suspend"] = True
    assert "spec.suspend is true" in shell.run()
    assert shell.starts() == 0
    uid = shell.state()["plan"]["job"]["uid"]
    shell.spec["suspend"] = False
    shell.run()
    assert shell.state()["plan"]["job"]["uid"] == uid
    assert shell.state()["memory"]["outcome"] == "complete"


def test_resume_never_begins_afresh_beside_another_jobs_results(shell):
    shell.spec["checkpoint"] = {"resume": "never"}
    shell.run()
    (shell.output / "run.json").write_text(json.dumps({"jobUid": "of-the-first"}))
    shell.run()
    names = sorted(path.name for path in shell.output.parent.iterdir())
    assert len(names) == 2
    uid = json.loads((shell.output.parent / names[1] / ".lmjob/job.json").read_text())
    assert names[1] == f"small-{uid['plan']['job']['uid'][:8]}"


def test_a_claim_without_a_folder_is_named_with_the_way_out(shell):
    shell.spec["data"] = {"train": ["pvc://wiki/*.txt"]}
    text = shell.run(code=65)
    assert "volume claim wiki" in text
    assert "--mount wiki=FOLDER" in text
    assert shell.starts() == 0


def test_a_secret_is_the_callers_own_variable_and_is_written_nowhere(shell, monkeypatch):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
        source = {"secretKeyRef": {"name": "s3", "key": name}}
        shell.env.append({"name": name, "valueFrom": source})
    shell.fake["asked"] = names
    text = shell.run(code=65)
    for name in names:
        words = f"is not set; in a cluster it is {name} of Secret s3; export {name} before lmjob"
        assert f"job.yaml: variable {name}: {words} run" in text
    assert shell.starts() == 0
    for name in names:
        monkeypatch.setenv(name, "very-secret")
    text = shell.run()
    journal = (shell.folder / "journal.jsonl").read_text()
    assert journal.count('"known": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]') == 4
    assert "very-secret" not in text
    for name in names:
        monkeypatch.delenv(name)
    assert "was done before" in shell.run()
    files = [path for path in shell.output.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if b"very-secret" in path.read_bytes()]


def test_mistakes_of_a_job_are_all_told_and_nothing_is_started(shell):
    shell.spec["phases"][0]["sequenceLength"] = 1024
    shell.spec["workers"]["replicas"] = -1
    text = shell.run(code=65)
    assert "spec.phases[0].sequenceLength" in text
    assert "spec.workers.replicas" in text
    assert not shell.output.exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [("corpus", "must be CLAIM=FOLDER"), ("wiki=.", "known: corpus, results")],
)
def test_a_mount_that_makes_no_sense_is_refused(shell, option, words):
    assert words in shell.run("--mount", option, code=65)


def test_a_second_run_of_the_same_folder_is_refused_and_names_the_first(shell):
    shell.fake |= {"steps": 400}
    with shell.start() as first:
        deadline = time.monotonic() + 20
        while shell.starts() < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        text = shell.run(code=65)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=20)
    assert f"process {first.pid}" in text


def test_a_damaged_state_is_refused_with_the_way_out(shell):
    shell.run()
    path = shell.output / ".lmjob/job.json"
    path.write_text(path.read_text()[:100])
    text = shell.run(code=65)
    assert "is damaged" in text
    assert f"remove {shell.output}/.lmjob" in text
