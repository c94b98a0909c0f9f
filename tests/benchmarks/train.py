"""Real tokens a second of the trainer beside HF Trainer: masked language modelling on the CPU, text
of mixed lengths, same model, weights, batch, optimizer, schedule and data order, no dropout.

First the maths: HF Trainer is fed the very batches of the trainer, padded, and the loss of every
step must agree. Only then the speed: HF Trainer as it is used, with dynamic padding and
DataCollatorForLanguageModeling.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    AutoTokenizer,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import TrainingRows, open_prepared, prepare
from lmtrainer.dataset.batches import Batch
from lmtrainer.models import build
from lmtrainer.optim.schedules import learning_rate
from lmtrainer.parallel.world import World
from lmtrainer.train.engine import Engine
from tests.benchmarks.rounds import Sample, Stopwatch, in_turn, summary, table

WARM_UP = 3
BATCH = 32
LENGTH = 128
VOCABULARY = 30522
PRESET = "mini"
RATE = 1e-4


def main(*, rounds: int, steps: int, threads: int) -> dict[str, object]:
    """Run the benchmark, print and return the result. AssertionError if the maths differs."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), steps)
        difference = bench.compare_losses()
        print(f"largest difference of a step's loss: {difference:.1e}", flush=True)
        assert difference < 1e-3, "the two sides do not compute the same"
        sides = {"lmtrainer": bench.ours, "HF Trainer, dynamic padding": bench.peer}
        samples = in_turn(sides, rounds)
    result = summary(samples, *sides)
    result["lossDifference"] = difference
    print(table(result, "real tokens"))
    return result


class _Bench:
    def __init__(self, folder: Path, steps: int) -> None:
        self.folder = folder
        self.steps = steps
        self.run = resolve(parse(RunConfig, _config(steps)), precision="fp32", threads=1)
        self.prepared = prepare(self.run, folder / "out", {}, lambda *_: None)
        self.prepared = open_prepared(self.run, folder / "out", {})
        self.rows = TrainingRows(self.prepared, self.run, 0)

        self.weights = self._save_weights(folder / "model")

    def _save_weights(self, folder: Path) -> Path:
        """The weights that both sides begin with, under the usual size of vocabulary."""
        torch.manual_seed(1)
        model = build.build("bert", self.run.model.architecture(), self.prepared.vocabulary, seed=1)
        model.resize_token_embeddings(VOCABULARY, mean_resizing=False)
        model.save_pretrained(folder)
        return folder

    def batch(self, step: int) -> Batch:
        (row,) = self.rows.micro_batches(step, 0, 1)
        return row

    def ours(self) -> Sample:
        return self._train_ours()[0]

    def _train_ours(self) -> tuple[Sample, list[float]]:
        world = World(0, 0, 1, torch.device("cpu"))
        model = build.from_folder("bert", self.weights)
        engine = Engine(model, self.run, world, phase_index=0)
        watch, losses, tokens = Stopwatch(), [], 0
        for step in range(self.steps):
            if step == WARM_UP:
                watch.start()
                tokens = 0
            rate = learning_rate(self.run.phases[0], step, self.steps)
            result = engine.step([self.batch(step)], step=step, learning_rate=rate, stop=False)
            tokens += result.tokens
            losses.append(result.loss)
        return watch.stop(tokens), losses

    def peer(self) -> Sample:
        tokenizer = AutoTokenizer.from_pretrained(self.prepared.tokenizer)
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        clock = _Clock()
        sequences = [ids for step in range(self.steps) for ids in self._sequences(step)]
        trainer = Trainer(
            model=BertForMaskedLM.from_pretrained(self.weights),
            args=self._arguments(),
            train_dataset=_Rows([{"input_ids": ids} for ids in sequences]),
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
        return clock.watch.stop(sum(len(ids) for ids in sequences[WARM_UP * BATCH :]))

    def compare_losses(self) -> float:
        """Largest difference between the losses of the two sides, on the same masked batches."""
        rows: list[dict[str, Any]] = []
        for step in range(self.steps):
            rows.extend(_padded_rows(self.batch(step)))
        clock = _Clock()
        trainer = Trainer(
            model=BertForMaskedLM.from_pretrained(self.weights),
            args=self._arguments(),
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
        tokens[row.targets] = row.labels
        for part in np.split(tokens, np.cumsum(row.lengths)[:-1]):
            yield part.tolist()

    def _arguments(self) -> TrainingArguments:
        return TrainingArguments(
            output_dir=str(self.folder / "peer"),
            max_steps=self.steps,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            lr_scheduler_type="linear",
            warmup_steps=0,
            weight_decay=0.01,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            train_sampling_strategy="sequential",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            remove_unused_columns=False,
        )


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Starts the watch when the warm-up is over, and keeps the losses."""

    def __init__(self) -> None:
        self.watch = Stopwatch()
        self.losses: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == WARM_UP:
            self.watch.start()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


class _Rows(Dataset):  # type: ignore[type-arg]
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def _padded_rows(row: Batch) -> Iterator[dict[str, Any]]:
    labels = np.full(len(row.tokens), -100)
    labels[row.targets] = row.labels
    cuts = np.cumsum(row.lengths)[:-1]
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


def _config(steps: int) -> dict[str, Any]:
    return {
        "data": {"train": ["sample://jargon"]},
        "tokenizer": {"train": {"vocabSize": VOCABULARY, "minFrequency": 1}},
        "model": {
            "type": "bert",
            "preset": PRESET,
            "config": {"dropout": 0, "attentionDropout": 0},
        },
        "phases": [
            {
                "name": "bench",
                "steps": steps,
                "sequenceLength": LENGTH,
                "globalBatchSize": BATCH,
                "microBatchSize": BATCH,
                "learningRate": RATE,
                "warmupSteps": 0,
            }
        ],
        "output": {"to": "unused"},
    }
