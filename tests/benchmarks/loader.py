"""Tokens a second from the prepared file to a masked batch, beside DataLoader and
DataCollatorForLanguageModeling on a table of `datasets` with the same sequences, in one process."""

from __future__ import annotations

import tempfile
from pathlib import Path

import datasets
import numpy as np
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, DataCollatorForLanguageModeling

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import TrainingRows, prepare
from tests.benchmarks.rounds import Sample, Stopwatch, in_turn, summary, table

BATCH = 32
LENGTH = 128


def main(*, rounds: int, steps: int) -> dict[str, object]:
    """Run the benchmark, print and return the result. AssertionError if the shares of masks
    differ."""
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), steps)
        sides = {"lmtrainer": bench.ours, "DataLoader": bench.peer}
        samples = in_turn(sides, rounds)
    result = summary(samples, *sides)
    result["maskedShare"] = bench.shares
    print(table(result, "real tokens/s"))
    ours, peer = (bench.shares[name] for name in ("lmtrainer", "DataLoader"))
    assert abs(ours - peer) < 0.01, f"not the same work: {ours:.3f} and {peer:.3f} are masked"
    return result


class _Bench:
    def __init__(self, folder: Path, steps: int) -> None:
        self.steps = steps
        self.shares: dict[str, float] = {}
        config = {
            "data": {"train": ["sample://jargon"]},
            "tokenizer": {"train": {"vocabSize": 8192}},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [
                {
                    "name": "bench",
                    "steps": steps,
                    "sequenceLength": LENGTH,
                    "globalBatchSize": BATCH,
                    "microBatchSize": BATCH,
                }
            ],
            "output": {"to": "unused"},
        }
        self.run = resolve(parse(RunConfig, config), precision="fp32", threads=1)
        self.prepared = prepare(self.run, folder / "out", {})
        self.rows = TrainingRows(self.prepared, self.run, 0)
        self.table = self._table(folder / "table")
        self.tokenizer = AutoTokenizer.from_pretrained(self.prepared.tokenizer)

    def _table(self, folder: Path) -> datasets.Dataset:
        """The sequences of all steps without masks, in order, as a table on disk."""
        found = []
        for step in range(self.steps):
            for row in self.rows.micro_batches(step, 0, 1):
                tokens = row.tokens.copy()
                tokens[row.targets] = row.labels
                parts = np.split(tokens, np.cumsum(row.lengths)[:-1])
                found.extend(part.tolist() for part in parts)
        datasets.Dataset.from_dict({"input_ids": found}).save_to_disk(str(folder))
        return datasets.load_from_disk(str(folder))

    def ours(self) -> Sample:
        watch, tokens, targets = Stopwatch(), 0, 0
        watch.start()
        for step in range(self.steps):
            for row in self.rows.micro_batches(step, 0, 1):
                tokens += len(row.tokens)
                targets += len(row.targets)
        sample = watch.stop(tokens)
        self.shares["lmtrainer"] = targets / (tokens - 2 * BATCH * self.steps)
        return sample

    def peer(self) -> Sample:
        collator = DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=0.15)
        watch, tokens, targets = Stopwatch(), 0, 0
        watch.start()
        for batch in DataLoader(self.table, batch_size=BATCH, collate_fn=collator):
            tokens += int(batch["attention_mask"].sum())
            targets += int((batch["labels"] != -100).sum())
        sample = watch.stop(tokens)
        self.shares["DataLoader"] = targets / (tokens - 2 * BATCH * self.steps)
        return sample
