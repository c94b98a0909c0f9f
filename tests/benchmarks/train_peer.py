"""HF Trainer on the batches of the trainer: the peer of `train`, and no part of the kit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

from lmtrainer.dataset.batches import Batch
from tests.benchmarks.rounds import Sample, Stopwatch
from tests.benchmarks.train_setting import RATE, WARM_UP, Setting, settle


class Peer:
    """HF Trainer with these weights and this tokenizer, on a batch a step. Writes to `output`."""

    def __init__(
        self, setting: Setting, batches: list[Batch], weights: Path, tokenizer: Path, output: Path
    ) -> None:
        self._setting, self._batches = setting, batches
        self._weights, self._tokenizer, self._output = weights, tokenizer, output

    def train(self) -> Sample:
        """As it is used: it masks and pads on the way."""
        tokenizer = AutoTokenizer.from_pretrained(self._tokenizer)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        masked = self._setting.family == "bert"
        collator = DataCollatorForLanguageModeling(tokenizer, mlm=masked, mlm_probability=0.15)
        sequences = [ids for batch in self._batches for ids in self._sequences(batch)]
        clock = _Clock(self._setting.device)
        trainer = Trainer(
            model=self._model(),
            args=self._arguments(
                self._setting.peer_precision,
                micro=self._setting.peer_micro_batch or self._setting.batch,
                log_every=len(self._batches),
            ),
            train_dataset=_Rows([{"input_ids": ids} for ids in sequences]),
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
        settle(self._setting.device)
        measured = sequences[WARM_UP * self._setting.batch :]
        return clock.watch.stop(sum(len(ids) for ids in measured))

    def losses(self) -> list[float]:
        """Of each step, on the very masks of the batches."""
        rows = [row for batch in self._batches for row in _rows(batch, self._setting.family)]
        clock = _Clock(self._setting.device)
        trainer = Trainer(
            model=self._model(),
            args=self._arguments(self._setting.precision, micro=self._setting.batch, log_every=1),
            train_dataset=_Rows(rows),
            data_collator=_stack,
            callbacks=[clock],
        )
        trainer.train()
        return clock.losses

    def _sequences(self, batch: Batch) -> Iterator[list[int]]:
        """Without masks."""
        tokens = batch.tokens.copy()
        if self._setting.family == "bert":
            tokens[batch.targets] = batch.labels
        for part in np.split(tokens, np.cumsum(batch.lengths)[:-1]):
            yield part.tolist()

    def _model(self) -> Any:
        auto = AutoModelForMaskedLM if self._setting.family == "bert" else AutoModelForCausalLM
        return auto.from_pretrained(self._weights)

    def _arguments(self, precision: str, *, micro: int, log_every: int) -> TrainingArguments:
        """On a GPU batches are made by processes beside it, and it is not asked for every loss."""
        on_gpu = self._setting.device == "cuda"
        return TrainingArguments(
            output_dir=str(self._output),
            max_steps=len(self._batches),
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=self._setting.batch // micro,
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
            settle(self._device)
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


def _rows(batch: Batch, family: str) -> Iterator[dict[str, Any]]:
    labels = np.full(len(batch.tokens), -100)
    labels[batch.targets] = batch.labels
    cuts = np.cumsum(batch.lengths)[:-1]
    if family == "gpt2":
        # The model moves them by one itself; a first one is predicted from nothing, yet counted.
        labels = batch.tokens.copy()
        labels[[0, *cuts]] = -100
    for tokens, wanted in zip(np.split(batch.tokens, cuts), np.split(labels, cuts), strict=True):
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
