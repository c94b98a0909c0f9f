"""What a rank leaves in its node's folder."""

import json
import os
import threading
import time

from lmtrainer.contract.reports import Completion, Position, Progress, load
from lmtrainer.progress import RankReports


def test_a_heartbeat_is_the_time_of_an_empty_file(tmp_path):
    reports = RankReports(tmp_path, 3)
    reports.heartbeat()
    path = tmp_path / "heartbeat-3"
    os.utime(path, (1, 1))
    reports.heartbeat()
    assert abs(path.stat().st_mtime - time.time()) < 2
    assert path.stat().st_size == 0


def test_a_heartbeat_is_cheap_enough_for_every_step(tmp_path):
    reports = RankReports(str(tmp_path), 0)
    begun = time.perf_counter()
    for _ in range(1000):
        reports.heartbeat()
    assert time.perf_counter() - begun < 0.5


def test_progress_is_stamped_and_is_a_sign_of_life(tmp_path):
    RankReports(tmp_path, 0).progress(Progress(done=3, updated_at=1.0))
    found = load(Progress, (tmp_path / "progress.json").read_text())
    assert found.done == 3
    assert abs(found.updated_at - time.time()) < 2
    assert (tmp_path / "heartbeat-0").exists()


def test_only_rank_0_speaks_for_the_stage(tmp_path):
    for rank in (1, 0):
        reports = RankReports(tmp_path, rank)
        reports.progress(Progress(done=rank))
        reports.completion(Completion(attempt=rank))
        present = (tmp_path / "progress.json").exists(), (tmp_path / "completion.json").exists()
        assert present == (rank == 0, rank == 0)
    assert load(Completion, (tmp_path / "completion.json").read_text()).attempt == 0


def test_a_reader_never_sees_half_a_report(tmp_path):
    reports = RankReports(tmp_path, 0)
    long, done = "a" * 4000, threading.Event()
    reports.progress(Progress())

    def write():
        for step in range(300):
            text = long if step % 2 else "short"
            reports.progress(Progress(position=Position(phase_index=0, step=step, phase=text)))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        load(Progress, (tmp_path / "progress.json").read_text())
    thread.join()


def test_an_error_is_written_as_torch_elastic_writes_it(tmp_path, monkeypatch):
    from torch.distributed.elastic.multiprocessing.errors import ErrorHandler

    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "theirs.json"))
    try:
        raise ValueError("bad \U0001f600")
    except ValueError as error:
        RankReports(tmp_path, 1).error(error)
        ErrorHandler().record_exception(error)
    ours, theirs = (
        json.loads((tmp_path / name).read_text())["message"]
        for name in ("error-1.json", "theirs.json")
    )
    assert ours["message"] == theirs["message"] == "ValueError: bad \U0001f600"
    assert theirs["extraInfo"].keys() <= ours["extraInfo"].keys()
    assert "test_progress.py" in ours["extraInfo"]["py_callstack"]
    assert abs(int(ours["extraInfo"]["timestamp"]) - int(theirs["extraInfo"]["timestamp"])) <= 1


def test_an_endless_error_is_cut(tmp_path):
    RankReports(tmp_path, 0).error(ValueError("x" * 10_000_000))
    assert (tmp_path / "error-0.json").stat().st_size < 100_000
