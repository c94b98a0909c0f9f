"""Rows 119 and 120: what TensorBoard shows of a run, and of the GPUs under it."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path

import pytest
import torch

from lmtrainer.contract.reports import Position
from lmtrainer.evaluate import events
from lmtrainer.faults import InterruptedRunError
from lmtrainer.output import MetricsLog
from lmtrainer.stages import prepare, train
from lmtrainer.train.monitor import monitor
from tests.rows import small_run
from tests.rows.engines import CPU
from tests.rows.small_run import STEPS, no_fence, series
from tests.runs import metrics


def test_row_119_tensorboard_reads_loss_rate_speed_and_evaluation(finished: Path) -> None:
    found = series(finished)
    rows = [row for row in metrics(finished) if "loss" in row]
    assert [step for step, _ in found["train/loss"]] == list(range(1, STEPS + 1))
    for tag, name in (("train/loss", "loss"), ("train/learning_rate", "learningRate")):
        values = [value for _, value in found[tag]]
        assert values == pytest.approx([row[name] for row in rows], rel=1e-6)
    assert all(value > 0 for _, value in found["train/tokens_per_second"])
    assert {"train/gradient_norm", "eval/loss", "eval/perplexity", "eval/accuracy"} <= set(found)
    assert len(list((finished / events.FOLDER).iterdir())) == 1


def test_row_119_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    run = small_run.run_of(tmp_path)
    prepare.run(small_run.context(tmp_path, "prepare", run))
    first = small_run.context(tmp_path, "train", run)
    seen = []

    class Stopping:
        @property
        def requested(self) -> bool:
            seen.append(1)
            return len(seen) == 3

    object.__setattr__(first, "stop", Stopping())
    with pytest.raises(InterruptedRunError):
        train.run(first)
    output = tmp_path / "out"
    assert [step for step, _ in series(output)["train/loss"]] == [1, 2, 3]
    # What a killed attempt had done after its last checkpoint.
    late = metrics(output)[0] | {"step": 9, "loss": 99.0}
    events.write(output, [*metrics(output), late], fence=no_fence)
    assert [step for step, _ in series(output)["train/loss"]] == [1, 2, 3, 9]
    train.run(small_run.context(tmp_path, "train", run, attempt=2))
    found = series(output)["train/loss"]
    assert [step for step, _ in found] == list(range(1, STEPS + 1))
    assert len(list((output / events.FOLDER).iterdir())) == 1


def test_row_119_the_files_grow_while_the_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "FOLLOW_SECONDS", 0.01)
    log = MetricsLog(tmp_path, resumed=None)
    position = Position(phase_index=0, step=1, phase="main")
    with events.following(tmp_path, fence=no_fence):
        log.append(position, loss=3.0, seconds=0.5, tokens=100)
        deadline = time.monotonic() + 20
        while not (tmp_path / events.FOLDER).is_dir() or "train/loss" not in series(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        log.append(Position(phase_index=1, step=1, phase="next"), loss=2.0)
    log.close()
    assert series(tmp_path)["train/loss"] == [(1, 3.0), (2, 2.0)]
    assert series(tmp_path)["train/tokens_per_second"] == [(1, 200.0)]


def test_row_119_can_be_switched_off(tmp_path: Path) -> None:
    phases = [{"name": "main", "steps": 1, "sequenceLength": 16, "globalBatchSize": 4}]
    to = {"to": str(tmp_path / "out"), "tensorboard": False}
    output = small_run.carry_out(tmp_path, phases=phases, output=to)
    assert not (output / events.FOLDER).exists()


def test_row_119_a_folder_that_cannot_be_written_ends_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MetricsLog(tmp_path, resumed=None).close()
    (tmp_path / events.FOLDER).write_text("in the way")
    with events.following(tmp_path, fence=no_fence):
        pass
    assert "tensorboard/ is not written any more" in capsys.readouterr().out


def test_row_120_without_a_gpu_there_is_a_warning_and_the_rate(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert monitor(CPU, 1)() == {}
    assert "warning: no GPU is monitored: training runs on the CPU" in capsys.readouterr().out
    assert len(series(finished)["train/learning_rate"]) == STEPS


def test_row_120_a_machine_without_a_driver_is_warned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a driver")
    assert monitor(torch.device("cuda"), 1)() == {}
    assert "warning: no GPU is monitored: NVML" in capsys.readouterr().out


def test_row_120_each_gpu_has_its_series(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    found = monitor(torch.device("cuda", 0), 1)()
    assert {"gpu0Utilization", "gpu0MemoryBytes", "gpu0PowerWatts"} <= set(found)
    assert found["gpu0MemoryBytes"] > 0


def test_row_120_what_a_gpu_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of NVML stands one that answers for two GPUs and knows no power."""

    class NVMLError(Exception):
        pass

    def no_power(gpu: str) -> float:
        raise NVMLError

    nvml = types.SimpleNamespace(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetUtilizationRates=lambda gpu: types.SimpleNamespace(gpu=50),
        nvmlDeviceGetMemoryInfo=lambda gpu: types.SimpleNamespace(used=1 << 30),
        nvmlDeviceGetTemperature=lambda gpu, kind: 40 if gpu == "GPU-a" else 45,
        nvmlDeviceGetPowerUsage=no_power,
    )
    uuids = ["a", "b", "of another node's process"]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda i: types.SimpleNamespace(uuid=uuids[i])
    )
    assert monitor(torch.device("cuda"), 2)() == {
        "gpu0Utilization": 0.5,
        "gpu0MemoryBytes": float(1 << 30),
        "gpu0TemperatureCelsius": 40.0,
        "gpu1Utilization": 0.5,
        "gpu1MemoryBytes": float(1 << 30),
        "gpu1TemperatureCelsius": 45.0,
    }


def test_row_120_numbers_of_gpus_become_series_of_their_own(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, resumed=None)
    position = Position(phase_index=0, step=5, phase="main")
    log.append(position, gpu0Utilization=0.5, gpu11PowerWatts=300.0)
    log.close()
    events.write(tmp_path, metrics(tmp_path), fence=no_fence)
    assert series(tmp_path) == {"gpu0/utilization": [(5, 0.5)], "gpu11/power_watts": [(5, 300.0)]}
