"""From the start of a process to the end of its first optimizer step, beside a script with HF
Trainer: the same sequences, model and batch, everything prepared before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np

from lmtrainer.config import RunConfig, document, parse, resolve
from lmtrainer.contract.arguments import Stage, launch_arguments
from lmtrainer.contract.environment import NodeEnvironment, to_env
from lmtrainer.dataset import TrainingRows, open_prepared
from tests.benchmarks.rounds import Sample, in_turn, summary, table

BATCH = 32
LENGTH = 128
LONGEST_SECONDS = 60.0
MINUTE = 60
"""A start is this much work, so that a rate is one of starts a minute."""

PEER = """
import os, sys
from datasets import load_from_disk
from transformers import (AutoTokenizer, BertConfig, BertForMaskedLM,
                          DataCollatorForLanguageModeling, Trainer, TrainerCallback,
                          TrainingArguments)

class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        print("stepped", flush=True)
        os._exit(0)

table, tokenizer_folder, output, batch = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
config = BertConfig(vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2,
                    num_attention_heads=2, intermediate_size=512)
Trainer(
    model=BertForMaskedLM(config),
    args=TrainingArguments(output_dir=output, max_steps=10, report_to="none", use_cpu=True,
                           per_device_train_batch_size=int(batch), disable_tqdm=True),
    train_dataset=load_from_disk(table),
    data_collator=DataCollatorForLanguageModeling(tokenizer),
    callbacks=[Stop()],
).train()
"""


def main(*, rounds: int) -> dict[str, object]:
    """Run the benchmark, print and return the result."""
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        sides = {"lmtrainer": bench.ours, "HF Trainer script": bench.peer}
        for side in sides.values():
            side()  # files are in memory and compiled from here on
        samples = in_turn(sides, rounds)
    result = summary(samples, *sides)
    print(table(result, "starts/min"))
    return result


class _Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "out"
        config = {
            "threadsPerProcess": os.cpu_count() or 1,
            "data": {"train": ["sample://jargon"]},
            "tokenizer": {"train": {"vocabSize": 8192}},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [
                {
                    "name": "bench",
                    "steps": 100_000,
                    "sequenceLength": LENGTH,
                    "globalBatchSize": BATCH,
                }
            ],
            "output": {"to": str(self.output)},
        }
        run = resolve(parse(RunConfig, config), precision="fp32", threads=1)
        self.config = folder / "run.json"
        self.config.write_text(json.dumps(document(run)))
        self.attempt = 0
        command, env = self._launch("prepare")
        subprocess.run([sys.executable, *command], env={**os.environ, **env}, check=True)
        self.prepared = open_prepared(run, self.output, {})
        rows = TrainingRows(self.prepared, run, 0)
        found = []
        for step in range(10):
            for row in rows.micro_batches(step, 0, 1):
                parts = np.split(row.tokens, np.cumsum(row.lengths)[:-1])
                found.extend(part.tolist() for part in parts)
        datasets.Dataset.from_dict({"input_ids": found}).save_to_disk(str(folder / "table"))
        (folder / "peer.py").write_text(PEER)

    def ours(self) -> Sample:
        """A node's launcher, its rank, their rendezvous, and one step."""
        metrics = self.output / "metrics.jsonl"
        metrics.unlink(missing_ok=True)
        command, env = self._launch("train")
        return self._timed(command, env, lambda: _has_line(metrics))

    def _launch(self, stage: Stage) -> tuple[list[str], dict[str, str]]:
        """Command and environment of a node that is the whole group."""
        self.attempt += 1
        node = self.folder / f"node-{self.attempt}"
        node.mkdir()
        environment = NodeEnvironment(
            job_uid="bench",
            attempt=self.attempt,
            master_port=0,
            status_port=0,
            node_dir=str(node),
            termination_log=str(node / "termination"),
            grace_seconds=1.0,
        )
        return ["-m", "lmtrainer", *launch_arguments(stage, str(self.config))], to_env(environment)

    def peer(self) -> Sample:
        log = self.folder / "log.txt"
        log.unlink(missing_ok=True)
        tokenizer, output = str(self.prepared.tokenizer), str(self.folder / "peer")
        table = str(self.folder / "table")
        command = [str(self.folder / "peer.py"), table, tokenizer, output, str(BATCH)]
        return self._timed(command, {}, lambda: _has_line(log))

    def _timed(self, command: list[str], env: dict[str, str], done: Callable[[], bool]) -> Sample:
        began, cpu = time.perf_counter(), _children()
        with (self.folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **env},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until = time.monotonic() + LONGEST_SECONDS
            while not done():
                assert time.monotonic() < until, (self.folder / "log.txt").read_text()
                time.sleep(0.002)
            seconds = time.perf_counter() - began
        finally:
            process.terminate()
            process.wait(30)
        return Sample(MINUTE, seconds, _children() - cpu)


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _has_line(path: Path) -> bool:
    return path.exists() and b"\n" in path.read_bytes()
