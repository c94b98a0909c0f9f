"""Rows 109 to 111, 115 and 119 to 123: what a run tells while it trains and leaves at its end."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import socket
import sys
import time
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoTokenizer

from lmtrainer.config import scores
from lmtrainer.config.architecture import Architecture
from lmtrainer.config.evaluation import EvaluateConfig
from lmtrainer.contract.loading import loading_lines
from lmtrainer.contract.reports import Position
from lmtrainer.dataset import EvaluationRows, open_prepared
from lmtrainer.dataset.batches import Batch
from lmtrainer.evaluate import card, events
from lmtrainer.evaluate.measure import Totals, measure, unigram_losses
from lmtrainer.faults import InterruptedRunError
from lmtrainer.models import build
from lmtrainer.output import MetricsLog
from lmtrainer.parallel.world import World
from lmtrainer.stages import prepare, train
from lmtrainer.train.monitor import monitor
from lmtrainer.vocab import Vocabulary
from tests.rows import engines, small_run
from tests.rows.small_run import STEPS
from tests.runs import metrics

CPU = torch.device("cpu")
ALONE = World(0, 0, 1, CPU)


def no_fence() -> None:
    return


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run that nothing disturbed."""
    return small_run.carry_out(tmp_path_factory.mktemp("run"))


def series(output: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value), as TensorBoard itself reads them."""
    found = EventAccumulator(str(output / events.FOLDER), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_row_109_evaluations_are_at_the_expected_steps(finished: Path) -> None:
    rows = metrics(finished)
    measured = [(row["phase"], row["step"]) for row in rows if "heldOutLoss" in row]
    assert measured == [("short", 2), ("short", 4), ("long", 2)]
    assert [step for step, _ in series(finished)["eval/loss"]] == [2, 4, 6]


@pytest.mark.parametrize("chunks", [1, 3])
def test_row_111_neither_rows_nor_logits_are_kept(
    finished: Path, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    run = dataclasses.replace(small_run.run_of(finished.parent), loss_chunks=chunks)
    prepared = open_prepared(run, finished, {})
    model = build.from_folder("bert", finished / "model")
    alive: dict[str, set[int]] = {"rows": set(), "logits": set()}
    most = {"rows": 0, "logits": 0, "numbers": 0}

    def follow(thing: Any, kind: str) -> None:
        alive[kind].add(id(thing))
        weakref.finalize(thing, alive[kind].discard, id(thing))
        most[kind] = max(most[kind], len(alive[kind]))

    def rows() -> Iterator[Batch]:
        for row in EvaluationRows(prepared, run, 1, max_tokens=200).rows(0, 1):
            follow(row, "rows")
            yield row

    def made(module: Any, given: Any, out: torch.Tensor) -> None:
        follow(out, "logits")
        most["numbers"] = max(most["numbers"], out.numel())

    unigram = unigram_losses(prepared.counts)
    whole = measure(model, rows(), run, ALONE, unigram)
    model.get_output_embeddings().register_forward_hook(made)
    monkeypatch.setattr(scores, "SCORES_AT_ONCE", 7 * prepared.vocabulary.size)
    found = measure(model, rows(), run, ALONE, unigram)
    assert found.predictions == whole.predictions > 100
    assert found.loss == pytest.approx(whole.loss, rel=1e-6)
    assert found.correct == whole.correct
    assert 1 <= most["rows"] <= 2
    assert 1 <= most["logits"] <= 2
    assert 0 < most["numbers"] <= 7 * prepared.vocabulary.size


def test_row_115_masked_accuracy_equals_a_count_by_hand() -> None:
    words = Vocabulary(size=40, pad=0, cls=1, sep=2, mask=3)
    sizes = Architecture(
        layers=1,
        hidden_size=16,
        heads=2,
        intermediate_size=32,
        max_positions=32,
        dropout=0.0,
        attention_dropout=0.0,
    )
    model = build.build("bert", sizes, words, seed=1).eval()
    generator = np.random.default_rng(0)
    sequences = [generator.integers(4, 40, length) for length in (9, 12, 20)]
    places = [np.array([1, 4]), np.array([2, 3, 11]), np.array([0, 7, 8, 19])]
    hits = count = 0
    labels = []
    for index, (tokens, where) in enumerate(zip(sequences, places, strict=True)):
        with torch.inference_mode():
            ids = torch.from_numpy(tokens)[None]
            best = model(input_ids=ids, lengths=(len(tokens),)).logits[0].argmax(-1).numpy()
        # Every second right answer is the model's first choice, the others are not.
        right = np.where((np.arange(len(where)) + index) % 2, best[where], (best[where] + 1) % 40)
        labels.append(right)
        hits += int((best[where] == right).sum())
        count += len(where)
    begins = np.cumsum([0, 9, 12])
    row = Batch(
        tokens=np.concatenate(sequences),
        positions=np.concatenate([np.arange(len(s)) for s in sequences]),
        lengths=(9, 12, 20),
        targets=np.concatenate([p + b for p, b in zip(places, begins, strict=True)]),
        labels=np.concatenate(labels),
    )
    run: Any = types.SimpleNamespace(precision="fp32", evaluate=EvaluateConfig(), loss_chunks=1)
    totals = measure(model, [row], run, ALONE, np.zeros(40))
    assert 0 < hits < count
    assert (totals.correct, totals.predictions) == (hits, count)
    assert totals.accuracy == pytest.approx(hits / count)


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


def test_row_121_the_first_step_is_there_and_what_is_no_number_is_null(
    finished: Path, tmp_path: Path
) -> None:
    first = metrics(finished)[0]
    assert (first["step"], first["phase"]) == (1, "short")
    assert math.isfinite(first["loss"])
    log = MetricsLog(tmp_path, resumed=None)
    position = Position(phase_index=0, step=1, phase="main")
    log.append(position, loss=math.nan, gradientNorm=math.inf, learningRate=0.1)
    log.close()
    row = metrics(tmp_path)[0]
    assert (row["loss"], row["gradientNorm"]) == (None, None)
    events.write(tmp_path, [row], fence=no_fence)
    assert set(series(tmp_path)) == {"train/learning_rate"}


def test_row_122_nothing_is_sent_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"wandb.{name} was asked for")

    def refuse(*given: Any, **more: Any) -> Any:
        raise AssertionError(f"a connection was asked for: {given}")

    monkeypatch.setitem(sys.modules, "wandb", Refusing("wandb"))
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    phases = [{"name": "main", "steps": 2, "sequenceLength": 16, "globalBatchSize": 4}]
    output = small_run.carry_out(tmp_path, phases=phases)
    assert len(series(output)["train/loss"]) == 2


def test_row_123_the_card_lists_data_results_and_settings(finished: Path) -> None:
    text = (finished / "model" / card.FILE).read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    results = json.loads((finished / "all_results.json").read_text())
    [model] = front["model-index"]
    [found] = model["results"]
    assert found["dataset"]["name"].endswith("/text.txt")
    measured = {metric["type"]: metric["value"] for metric in found["metrics"]}
    assert measured == {
        name: results[name] for name in ("perplexity", "eval_loss", "eval_accuracy")
    }
    assert front["pipeline_tag"] == "fill-mask"
    assert f"| perplexity | {results['perplexity']:,.4f} |" in text
    assert "/text.txt`" in text
    assert re.search(r"\| parameters \| [\d,]{3,} \|", text)
    assert "| `short` | 4 | 4 | 16 | 0.0001 | linear |" in text


def test_row_123_what_the_card_says_loads_the_model(finished: Path) -> None:
    text = (finished / "model" / card.FILE).read_text()
    snippet = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(snippet.replace('"FOLDER"', repr(str(finished / "model"))), names)
    assert type(names["model"]).__name__ == "BertForMaskedLM"
    assert names["tokenizer"].mask_token == "[MASK]"


@pytest.mark.parametrize(
    ("family", "objective", "kind"),
    [
        ("bert", "mlm+nsp", "BertForPreTraining"),
        ("groupbert", "mlm", "GroupBertForMaskedLM"),
        ("gpt2", "clm", "GPT2LMHeadModel"),
    ],
)
def test_row_123_whatever_was_trained_is_loaded_whole(
    finished: Path, tmp_path: Path, family: str, objective: str, kind: str
) -> None:
    run = engines.run_of(family, objective=objective)
    build.for_run(run, engines.VOCABULARY, None).save_pretrained(tmp_path)
    for file in (finished / "tokenizer").iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    names: dict[str, Any] = {}
    exec("\n".join(loading_lines(run, str(tmp_path))), names)
    assert type(names["model"]).__name__ == kind


def test_row_123_the_card_of_pairs_tells_their_results_once(finished: Path) -> None:
    run = small_run.run_of(finished.parent)
    totals = Totals(2.0, 3.0, 1.0, 2.0, pair_loss=1.0, pairs_right=3.0, pairs=4.0)
    prepared = open_prepared(run, finished, {})
    folder = finished.parent / "card"
    folder.mkdir(exist_ok=True)
    card.write(folder, run, prepared, totals, {}, parameters=1)
    text = (folder / card.FILE).read_text()
    assert text.count("of pairs of sentences | 0.7500 |") == 1
    assert text.count("| 0.2500 |") == 1


HOSTILE = (
    "a`b``c|d",
    '"]\n---\nevil: true\n---\n# <script>alert(1)</script>',
    "`[x](javascript:alert(1))` ![](http://x/y)",
    "\u2028{{7*7}} \x07\x7f\x85\ufffe \U0001f600",
    "```\n# not a heading\n```",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_row_123_a_text_of_the_user_is_never_markup(text: str) -> None:
    shown = card.code(text)
    assert "\n" not in shown
    fence = re.match("`+", shown)
    assert fence is not None
    inner = shown[len(fence[0]) : -len(fence[0])]
    assert shown.endswith(fence[0])
    assert fence[0] not in re.findall("`+", inner)
    assert not re.search(r"(?<!\\)\|", shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_row_123_a_text_of_the_user_is_never_yaml(finished: Path, text: str) -> None:
    plain = small_run.run_of(finished.parent)
    run = dataclasses.replace(plain, data=dataclasses.replace(plain.data, train=(text,)))
    prepared = open_prepared(plain, finished, {})
    totals = Totals(loss=30.0, baseline=50.0, correct=4.0, predictions=10.0)
    (finished.parent / "card").mkdir(exist_ok=True)
    card.write(finished.parent / "card", run, prepared, totals, {}, parameters=1)
    written = (finished.parent / "card" / card.FILE).read_text()
    _, front, body = written.split("---\n", 2)
    found = yaml.safe_load(front)
    assert set(found) == {"library_name", "pipeline_tag", "tags", "model-index"}
    assert found["model-index"][0]["results"][0]["dataset"]["name"] == text
    assert [line for line in body.splitlines() if line.startswith("# ")] == ["# bert, mlm"]


def test_the_folder_of_the_model_still_loads_with_its_card(finished: Path) -> None:
    assert AutoTokenizer.from_pretrained(finished / "model").mask_token == "[MASK]"
