"""What a person sees: bars in a terminal, lines elsewhere, results and failures at the end."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from lmjob.core.fault import Fault
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed
from lmjob.core.report import report
from lmjob.local.failure import failure_lines
from lmjob.local.result import result_lines
from lmjob.local.terminal import Lines, count, detail, open_terminal
from lmtrainer.contract.reports import Position, Progress

NOW = 1_700_000_000.0
MEMORY = Memory(attempt=1, stage="train", group="formed", started_at=NOW)


def status(plan_of, **progress):
    seen = Progress(attempt=1, stage="train", activity="phase main", **progress)
    return report(plan_of(), MEMORY, Observed(progress=seen), NOW)


def screen(**options):
    return Console(file=io.StringIO(), width=120, **options)


def test_a_pipe_gets_plain_lines_and_not_too_many(plan_of):
    console = screen(force_terminal=False)
    terminal = open_terminal(plan_of(), console)
    assert isinstance(terminal, Lines)
    for step in range(50):
        terminal.show(status(plan_of, done=step, total=100, loss=5.25))
    terminal.line("[worker-0] started")
    terminal.close()
    assert console.file.getvalue().splitlines() == [
        "train: 0/100 steps, phase main, loss 5.250",
        "[worker-0] started",
    ]


def test_a_terminal_gets_a_bar_for_each_stage(plan_of):
    console = screen(force_terminal=True)
    terminal = open_terminal(plan_of(), console)
    terminal.show(status(plan_of, done=30, total=100, loss=5.25, eta_seconds=95.0))
    terminal.line("master ready; 2 workers may start")
    terminal.close()
    text = console.file.getvalue()
    for words in ("train", "30/100", "phase main, loss 5.250, 1:35 left", "master ready"):
        assert words in text


def test_a_finished_stage_shows_as_done(plan_of):
    console = screen(force_terminal=True)
    terminal = open_terminal(plan_of(), console)
    terminal.show(status(plan_of, done=99, total=100))
    done = Memory(attempt=1, stage="evaluate", group="formed", outcome="complete")
    terminal.show(report(plan_of(), done, Observed(), NOW))
    terminal.close()
    train, evaluate, _ = console.file.getvalue().splitlines()[-3:]
    assert "100/100 steps" in train
    assert "done" in train
    assert "done" in evaluate


def test_a_bar_says_how_it_goes():
    known = {"activity": "a", "loss": 1.23456, "tokensPerSecond": 12345.6, "etaSeconds": 61}
    assert detail(known) == "a, loss 1.235, 12,346 tokens/s, 1:01 left"
    assert detail({}) == "starting"


def test_a_count_has_its_unit():
    assert count({"done": 1234, "total": 9000, "unit": "steps"}) == "1,234/9,000 steps"
    assert count({"done": 2_500_000, "total": 9_000_000, "unit": "bytes"}) == "2.5/9.0 MB"
    assert count({"done": 7, "unit": "batches"}) == "7 batches"
    assert count({}) == ""


def test_results_of_a_causal_model_have_no_accuracy(tmp_path, plan_of):
    (tmp_path / "evaluation.json").write_text(json.dumps({"perplexity": 31.0}))
    lines = list(result_lines(tmp_path, plan_of().run))
    assert lines[0] == "perplexity       31.0"
    assert not [line for line in lines if "accuracy" in line or "filled" in line]


@pytest.mark.parametrize("text", [None, "", "[]", '{"fill": 3, "perplexity": "x"}'])
def test_without_figures_the_model_is_told(tmp_path, plan_of, text):
    if text is not None:
        (tmp_path / "evaluation.json").write_text(text)
    lines = list(result_lines(tmp_path, plan_of().run))
    assert lines[0] == f"model            {tmp_path}/model"


def test_a_failure_tells_cause_place_and_way_out(tmp_path):
    log = tmp_path / ".lmjob/2-worker-0/log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("")
    memory = Memory(
        attempt=2,
        restarts=1,
        outcome="failed",
        outcome_reason="RestartBudgetSpent",
        durable=Position(phase_index=0, step=80, phase="main"),
        last_fault=Fault(
            reason="DiskFull", replica="worker-0", rank=1, message="no space left", attempt=2
        ),
    )
    assert list(failure_lines(tmp_path, memory, "lmjob run job.yaml")) == [
        "failed: worker-0 rank 1: no space left",
        "  DiskFull in stage train, attempt 2 after 1 restarts without progress",
        f"  log: {log}",
        "  make room; the checkpoints that were saved before are intact",
        "  then: lmjob run job.yaml   (goes on from phase main step 80)",
    ]
