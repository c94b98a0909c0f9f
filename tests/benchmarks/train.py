"""Real tokens a second of the trainer beside HF Trainer, on the CPU or one GPU: same model,
weights, batch, optimizer, schedule and data order, no dropout.

First the maths: HF Trainer is fed the very batches of the trainer, padded, and the loss of every
step must agree. Only then the speed: HF Trainer as it is used, with dynamic padding and
DataCollatorForLanguageModeling.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import TrainingRows, open_prepared, prepare
from lmtrainer.dataset.batches import Batch
from lmtrainer.models import build
from lmtrainer.parallel.world import World
from lmtrainer.train.engine import Engine, StepResult
from lmtrainer.train.loop import PhaseWork, run_phase
from tests.benchmarks.rounds import Sample, Stopwatch, in_turn, summary, table

WARM_UP = 3
RATE = 1e-4
LARGEST_DIFFERENCE: dict[str, float] = {"fp32": 1e-3, "bf16": 5e-2}
"""Between the losses of a step: bf16 has three digits, and rounds each side in its own places."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What both sides train."""

    family: Literal["bert", "gpt2"] = "bert"
    preset: str = "mini"
    lengths: Literal["mixed", "blocks"] = "mixed"
    """Documents as they are, or full sequences only."""
    length: int = 128
    batch: int = 32
    precision: Literal["fp32", "bf16"] = "fp32"
    peer_precision: Literal["fp32", "bf16"] = "fp32"
    peer_micro_batch: int | None = None
    """Sequences that HF Trainer computes at once; all of the batch unless given."""
    device: Literal["cpu", "cuda"] = "cpu"

    @property
    def vocabulary(self) -> int:
        return 30522 if self.family == "bert" else 50257


def main(setting: Setting, *, rounds: int, steps: int, threads: int) -> dict[str, object]:
    """Run the benchmark, print and return the result. AssertionError if the maths differs."""
    torch.set_num_threads(threads)
    assert steps > WARM_UP, f"--steps: give more than the {WARM_UP} that are not measured"
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), setting, steps)
        difference = bench.compare_losses()
        print(f"largest difference of a step's loss: {difference:.1e}", flush=True)
        assert difference < LARGEST_DIFFERENCE[setting.precision], "not the same computation"
        sides = {"lmtrainer": bench.ours, "HF Trainer": bench.peer}
        samples = in_turn(sides, rounds)
    result = summary(samples, *sides)
    result["setting"] = vars(setting)
    result["lossDifference"] = difference
    if setting.device == "cuda":
        result["gpu"] = torch.cuda.get_device_name()
        result["teraflops"] = bench.teraflops(samples["lmtrainer"])
        print(f"{result['gpu']}: {result['teraflops']:.0f} TFLOP/s of the model's own")
    print(table(result, "real tokens/s"))
    return result


class _Bench:
    def __init__(self, folder: Path, setting: Setting, steps: int) -> None:
        self.folder = folder
        self.setting = setting
        self.steps = steps
        config = parse(RunConfig, _config(setting, steps))
        self.run = resolve(config, precision=setting.precision, threads=1)
        self.prepared = prepare(self.run, folder / "out", {}, lambda *_: None)
        self.prepared = open_prepared(self.run, folder / "out", {})
        self.rows = TrainingRows(self.prepared, self.run, 0)
        self.weights = self._save_weights(folder / "model")

    def _save_weights(self, folder: Path) -> Path:
        """The weights that both sides begin with, under the usual size of vocabulary."""
        torch.manual_seed(1)
        sizes = self.run.model.architecture()
        model = build.build(self.setting.family, sizes, self.prepared.vocabulary, seed=1)
        model.resize_token_embeddings(self.setting.vocabulary, mean_resizing=False)
        model.save_pretrained(folder)
        return folder

    def batch(self, step: int) -> Batch:
        (row,) = self.rows.micro_batches(step, 0, 1)
        return row

    def ours(self) -> Sample:
        return self._train_ours()[0]

    def _train_ours(self) -> tuple[Sample, list[float]]:
        world = World(0, 0, 1, torch.device(self.setting.device))
        model = build.from_folder(self.setting.family, self.weights).to(world.device)
        engine = Engine(model, self.run, world, phase_index=0)
        work = PhaseWork(
            phase=self.run.phases[0],
            index=0,
            start=0,
            steps=self.steps,
            rows=lambda step: [self.batch(step)],
        )
        watched = _Watched(self.setting.device)
        run_phase(engine, work, self.run, watched)
        _settle(self.setting.device)
        return watched.watch.stop(watched.tokens), watched.losses

    def teraflops(self, samples: list[Sample]) -> float:
        """A second, of forward and backward passes through matrices and attention alone: what the
        model needs, whatever was really computed (Chowdhery et al. 2022, arXiv 2204.02311, B)."""
        needed = sum(self._flops(self.batch(step)) for step in range(WARM_UP, self.steps))
        return needed / statistics.median(sample.seconds for sample in samples) / 1e12

    def _flops(self, row: Batch) -> float:
        sizes = self.run.model.architecture()
        h, m = sizes.hidden_size, sizes.intermediate_size
        matrices = sizes.layers * (4 * h * h + 2 * h * m) * len(row.tokens)
        head = (h * self.setting.vocabulary + h * h) * len(row.targets)
        pairs = float(np.square(np.array(row.lengths, dtype=np.float64)).sum())
        return 6.0 * (matrices + head) + 12.0 * sizes.layers * h * pairs

    def peer(self) -> Sample:
        tokenizer = AutoTokenizer.from_pretrained(self.prepared.tokenizer)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        masked = self.setting.family == "bert"
        collator = DataCollatorForLanguageModeling(tokenizer, mlm=masked, mlm_probability=0.15)
        clock = _Clock(self.setting.device)
        sequences = [ids for step in range(self.steps) for ids in self._sequences(step)]
        trainer = Trainer(
            model=self._peer_model(),
            args=self._arguments(
                self.setting.peer_precision,
                micro=self.setting.peer_micro_batch or self.setting.batch,
                log_every=self.steps,
            ),
            train_dataset=_Rows([{"input_ids": ids} for ids in sequences]),
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
        _settle(self.setting.device)
        return clock.watch.stop(sum(len(ids) for ids in sequences[WARM_UP * self.setting.batch :]))

    def compare_losses(self) -> float:
        """Largest difference between the losses of the two sides, on the same masked batches."""
        rows: list[dict[str, Any]] = []
        for step in range(self.steps):
            rows.extend(_padded_rows(self.batch(step), self.setting.family))
        clock = _Clock(self.setting.device)
        trainer = Trainer(
            model=self._peer_model(),
            args=self._arguments(self.setting.precision, micro=self.setting.batch, log_every=1),
            train_dataset=_Rows(rows),
            data_collator=_stack,
            callbacks=[clock],
        )
        trainer.train()
        ours = self._train_ours()[1]
        return float(np.abs(np.array(ours) - np.array(clock.losses)).max())

    def _sequences(self, step: int) -> Iterator[list[int]]:
        """The sequences of a step without masks."""
        row = self.batch(step)
        tokens = row.tokens.copy()
        if self.setting.family == "bert":
            tokens[row.targets] = row.labels
        for part in np.split(tokens, np.cumsum(row.lengths)[:-1]):
            yield part.tolist()

    def _peer_model(self) -> Any:
        auto = AutoModelForMaskedLM if self.setting.family == "bert" else AutoModelForCausalLM
        return auto.from_pretrained(self.weights)

    def _arguments(self, precision: str, *, micro: int, log_every: int) -> TrainingArguments:
        """On a GPU batches are made by processes beside it, and it is not asked for every loss."""
        on_gpu = self.setting.device == "cuda"
        return TrainingArguments(
            output_dir=str(self.folder / "peer"),
            max_steps=self.steps,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=self.setting.batch // micro,
            learning_rate=RATE,
            lr_scheduler_type="linear",
            warmup_steps=0,
            weight_decay=0.01,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            train_sampling_strategy="sequential",
            logging_steps=log_every,
            save_strategy="no",
            report_to="none",
            use_cpu=not on_gpu,
            dataloader_num_workers=4 if on_gpu else 0,
            dataloader_pin_memory=on_gpu,
            bf16=precision == "bf16",
            disable_tqdm=True,
            remove_unused_columns=False,
        )


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Starts the watch when the warm-up is over, and keeps the losses."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.watch = Stopwatch()
        self.losses: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == WARM_UP:
            _settle(self._device)
            self.watch.start()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


class _Watched:
    """What happens around our steps: the same watch."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.watch = Stopwatch()
        self.losses: list[float] = []
        self.tokens = 0

    def stop_requested(self) -> bool:
        return False

    def stepped(self, step: int, rate: float, result: StepResult) -> None:
        self.losses.append(result.loss)
        self.tokens += result.tokens
        if step == WARM_UP:
            _settle(self._device)
            self.tokens = 0
            self.watch.start()

    def evaluate(self, step: int) -> None:
        pass

    def save(self, step: int, *, wait: bool) -> None:
        pass


def _settle(device: str) -> None:
    """Wait for what a GPU still computes."""
    if device == "cuda":
        torch.cuda.synchronize()


class _Rows(Dataset):  # type: ignore[type-arg]
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def _padded_rows(row: Batch, family: str) -> Iterator[dict[str, Any]]:
    labels = np.full(len(row.tokens), -100)
    labels[row.targets] = row.labels
    cuts = np.cumsum(row.lengths)[:-1]
    if family == "gpt2":
        # The model moves them by one itself; a first one is predicted from nothing, yet counted.
        labels = row.tokens.copy()
        labels[[0, *cuts]] = -100
    for tokens, wanted in zip(np.split(row.tokens, cuts), np.split(labels, cuts), strict=True):
        yield {"input_ids": tokens, "labels": wanted}


def _stack(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    size = max(len(row["input_ids"]) for row in rows)

    def pad(name: str, value: int) -> torch.Tensor:
        padded = np.full((len(rows), size), value)
        for line, row in zip(padded, rows, strict=True):
            line[: len(row[name])] = row[name]
        return torch.from_numpy(padded)

    lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
    return {
        "input_ids": pad("input_ids", 0),
        "labels": pad("labels", -100),
        "attention_mask": (torch.arange(size) < lengths).long(),
    }


def _config(setting: Setting, steps: int) -> dict[str, Any]:
    blocks = {"sequences": "blocks"} if setting.lengths == "blocks" else {}
    return {
        "data": {"train": ["sample://jargon"], **blocks},
        "tokenizer": {"train": {"vocabSize": setting.vocabulary, "minFrequency": 1}},
        "model": {
            "type": setting.family,
            "preset": setting.preset,
            "config": {"dropout": 0, "attentionDropout": 0},
        },
        "phases": [
            {
                "name": "bench",
                "steps": steps,
                "sequenceLength": setting.length,
                "globalBatchSize": setting.batch,
                "microBatchSize": setting.batch,
                "learningRate": RATE,
                "warmupSteps": 0,
            }
        ],
        "output": {"to": "unused"},
    }
