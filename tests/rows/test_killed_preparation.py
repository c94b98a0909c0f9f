"""Row 23: a preparation that was killed, and what the next one makes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.rows.prepared import TEXT, configured, counting, digest, made

KILLED = """
import os, signal, sys
from pathlib import Path
import lmtrainer.text.parts
from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import prepare
lmtrainer.text.parts.SMALLEST = 2000
processes = int(sys.argv[5])
run = parse(RunConfig, {
    "data": {"train": [sys.argv[2]], "cache": sys.argv[1] + "/cache", "processes": processes,
             "validation": {"share": 0.1}},
    "tokenizer": {"train": {"vocabSize": 400}}, "model": {"type": "bert"},
    "phases": [{"name": "main", "steps": 1, "sequenceLength": 16}], "output": {"to": "out"},
})
left = int(sys.argv[3])
def progress(activity, done, total):
    global left
    left -= activity == sys.argv[4]
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
found = prepare(resolve(run, precision="fp32", threads=1), Path(sys.argv[1], "out"), {}, progress)
print(found.manifest_sha256)
"""


def prepared_by_process(
    folder: Path, left: int = -1, activity: str = "", processes: int = 1
) -> Any:
    folder.mkdir(exist_ok=True)
    source = folder.parent / "text.txt"
    source.write_text(TEXT)
    options = [str(folder), str(source), str(left), activity, str(processes)]
    return subprocess.run(
        [sys.executable, "-c", KILLED, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if left > 0 else None,
        text=True,
    )


@pytest.mark.parametrize("left", [1, 5])
def test_row_023_a_build_that_was_killed_ends_with_the_same_bytes(
    tmp_path: Path, left: int
) -> None:
    killed = prepared_by_process(tmp_path / "a", left, "encode text")
    assert killed.returncode == -signal.SIGKILL
    mended, whole = (prepared_by_process(tmp_path / name) for name in "ab")
    assert mended.stdout == whole.stdout != ""
    (a,), (b,) = ((tmp_path / name / "cache").iterdir() for name in "ab")
    assert digest(a / "dataset") == digest(b / "dataset")
    assert {path.name for path in a.iterdir()} == {"dataset", "lock", "tokenizer"}


def of_folder(folder: Path) -> list[int]:
    """Processes whose command line names a folder, or that were started by such a one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes()
            environment = (entry.parent / "environ").read_bytes()
            if str(folder).encode() in words + environment:
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid()]


@pytest.mark.slow
def test_row_023_no_process_outlives_the_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKED_FOR_THE_TEST", str(tmp_path))
    killed = prepared_by_process(tmp_path / "a", 2, "encode text", 2)
    monkeypatch.delenv("MARKED_FOR_THE_TEST")
    assert killed.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while of_folder(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert of_folder(tmp_path) == []
    mended, whole = (prepared_by_process(tmp_path / name, processes=2) for name in "ab")
    assert mended.stdout == whole.stdout != ""


def test_row_023_parts_that_were_done_before_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmtrainer.text.parts.SMALLEST", 2000)
    run = configured(data={"processes": 1})
    done: list[int] = []

    def stop(activity: str, read: int, total: int | None) -> None:
        if activity == "encode text" and read > 5000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, run, TEXT, progress=stop)
    (place,) = (tmp_path / "out").glob("parts-*")
    kept = {path: path.stat().st_ino for path in place.glob("0*/*.tokens")}
    assert len(kept) == 2
    monkeypatch.setattr(
        "lmtrainer.dataset.tasks.encode",
        counting("lmtrainer.dataset.encode", "encode", done),
    )
    whole = made(tmp_path, run)
    assert len(done) == len(list(whole.dataset.glob("*.tokens"))) - 2
    assert not list((tmp_path / "out").glob("parts-*"))
    assert set(kept.values()) <= {path.stat().st_ino for path in whole.dataset.iterdir()}
