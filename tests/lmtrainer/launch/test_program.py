"""What a program of the user's own is told, and what is made of its answers."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.config import CommandConfig
from lmtrainer.config.output import OutputConfig
from lmtrainer.contract.command import PROGRESS_LINES, Line, read_line
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.contract.reports import PROGRESS_FILE, Position, Progress, load
from lmtrainer.faults import UserError
from lmtrainer.launch.lines import MAX_BYTES, Lines
from lmtrainer.launch.program import arguments, become, told


def command(*words: str) -> CommandConfig:
    return CommandConfig(command=words, output=OutputConfig(to="pvc://results/x"))


def test_a_location_becomes_a_path_and_nothing_else_is_touched(tmp_path: Path) -> None:
    words = ("p", "$(X)", "a;b", "*.txt", "~", "--data=pvc://c/wiki", "pvc://c", "x=pvc://c/y")
    found = arguments(command(*words), {"c": str(tmp_path)})
    assert found == [*words[:5], f"--data={tmp_path}/wiki", str(tmp_path), "x=pvc://c/y"]


def test_a_claim_that_is_not_here_and_a_link_out_of_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"command\[1\].*has no folder here"):
        arguments(command("p", "pvc://c/x"), {})
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim/out").symlink_to("/etc")
    with pytest.raises(UserError, match="outside"):
        arguments(command("p", "pvc://c/out"), {"c": str(tmp_path / "claim")})


def test_the_variables_name_output_attempt_and_progress(tmp_path: Path) -> None:
    node = NodeEnvironment(job_uid="j", attempt=3, node_dir="/n", claims={"results": str(tmp_path)})
    assert told(command("p"), node) == {
        "LMJOB_OUTPUT": str(tmp_path / "x"),
        "LMJOB_ATTEMPT": "3",
        "LMJOB_PROGRESS": "/n/progress.jsonl",
    }


@pytest.mark.parametrize(
    "program", ["no-such-program", "/etc/hostname", "/etc", "/proc/self/mem/x"]
)
def test_what_cannot_be_started_is_the_users_mistake(tmp_path: Path, program: str) -> None:
    node = NodeEnvironment(job_uid="j", attempt=1)
    with pytest.raises(UserError, match=f"command: '{program}' cannot be started here"):
        become(command(program), node, {"PATH": "/usr/bin:/bin"})
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN, "this process goes on"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"step": 3, "total": 9, "loss": 1}', Line(step=3, total=9, loss=1.0)),
        ('{"step": 3, "loss": NaN, "other": []}', Line(step=3)),
        ('{"step": -1, "total": 1.5, "loss": "x", "checkpoint": true}', Line()),
        ('{"learningRate": 0.5, "tokensPerSecond": -1}', Line(learning_rate=0.5)),
        ("[]", None),
        ("step 3", None),
        ("[" * 100_000, None),
    ],
)
def test_a_line_gives_what_can_be_used_of_it(text: str, line: Line | None) -> None:
    assert read_line(text) == line


class Follower:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines = Lines(NodeEnvironment(job_uid="j", attempt=2, node_dir=str(folder)))

    def say(self, *values: Any, end: str = "\n") -> None:
        with (self.folder / PROGRESS_LINES).open("a") as file:
            for value in values:
                file.write((value if isinstance(value, str) else json.dumps(value)) + end)

    def look(self, now: float) -> Progress:
        self.lines.look(now)
        return load(Progress, (self.folder / PROGRESS_FILE).read_text())


def test_lines_are_summed_up(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    follower.say({"step": 10, "total": 110, "loss": 4.0}, {"checkpoint": 10})
    found = follower.look(100.0)
    assert (found.done, found.total, found.loss, found.eta_seconds) == (10, 110, 4.0, None)
    assert found.position == found.durable == Position(phase_index=0, step=10, phase="command")
    assert (found.attempt, found.stage, found.first_step_at) == (2, "train", 100.0)
    follower.say({"step": 30, "loss": 3.0})
    found = follower.look(110.0)
    assert (found.done, found.total, found.loss) == (30, 110, 3.0)
    assert found.first_step_at == 100.0
    assert found.eta_seconds == pytest.approx(80 * 10 / 20)
    follower.say({"etaSeconds": 7})
    assert follower.look(120.0).eta_seconds == 7.0
    assert found.durable is not None and found.durable.step == 10


def test_while_results_are_copied_no_step_can_be_lost_and_no_checkpoint_is(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    follower.say({"step": 30, "total": 30, "loss": 3.0, "tokensPerSecond": 5.0, "etaSeconds": 1})
    follower.look(100.0)
    follower.lines.copying(0, 0)
    follower.say({"checkpoint": 20})
    found = follower.look(110.0)
    assert (found.activity, found.unit, found.done, found.total) == (
        "copy results",
        "bytes",
        0,
        None,
    )
    assert found.kept == 1, "what goes wrong with the copy is not charged as work done for nothing"
    assert (found.position, found.eta_seconds, found.tokens_per_second) == (None, None, None)
    assert found.durable is not None and found.durable.step == 20
    follower.lines.copying(5, 9)
    found = follower.look(120.0)
    assert (found.done, found.total, found.loss) == (5, 9, 3.0)


def test_a_line_in_the_making_waits_and_junk_is_left_out(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    follower.say({"step": 1})
    follower.say('{"step": 2, "lo', end="")
    assert follower.look(1.0).done == 1
    follower.say('ss": 1.5}', "junk", "\x00\xff", {"loss": math.nan})
    found = follower.look(2.0)
    assert (found.done, found.loss) == (2, 1.5)
    follower.say("x" * (2 * MAX_BYTES), {"step": 3})
    for now in (3.0, 4.0, 5.0):
        found = follower.look(now)
    assert found.done == 3


def test_the_file_is_looked_at_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    follower.say({"step": 1})
    follower.look(1.0)
    follower.say({"step": 2})
    assert follower.look(1.1).done == 1
    follower.lines.look(1.1, last=True)
    assert load(Progress, (tmp_path / PROGRESS_FILE).read_text()).done == 2


def test_at_the_end_all_of_a_long_file_is_read(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    follower.say({"step": 1}, *["x" * 1000] * (2 * MAX_BYTES // 1000), {"step": 2})
    assert follower.look(1.0).done == 1
    follower.lines.look(1.1, last=True)
    assert load(Progress, (tmp_path / PROGRESS_FILE).read_text()).done == 2


def test_a_line_ends_at_a_line_break_and_nowhere_else(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    follower.say('{"step": 1, "note": "a\u2028b\x85c"}')
    assert follower.look(1.0).done == 1


def test_without_lines_nothing_is_told(tmp_path: Path) -> None:
    Lines(NodeEnvironment(job_uid="j", attempt=1, node_dir=str(tmp_path))).look(1.0)
    assert not (tmp_path / PROGRESS_FILE).exists()
