"""Masked pairs of sentences a second: the trainer beside a plain builder, from the same token ids
to what a model is fed. One pass over the text each round, with pairs of its own.

First what is built: as many random pairs, hidden tokens and lengths on both sides. Then the speed,
and the peak of memory for the text once and four times.
"""

from __future__ import annotations

import itertools
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import Prepared, TrainingRows, prepare
from lmtrainer.dataset.pairchunks import Drawing, Sentences
from lmtrainer.dataset.pairing import pairs
from lmtrainer.dataset.store import open_sentences
from lmtrainer.text.sources import expand
from tests.benchmarks.instances_peer import Builder, Document, Ids, batches
from tests.benchmarks.rounds import Sample, Stopwatch, in_turn, summary, table

SHARE = 0.15
BATCH = 256
BINS = 16
PASSES = 5
"""Of ours in a round: one is over before a clock says much."""


def main(*, rounds: int, length: int) -> dict[str, object]:
    """Run the benchmark, print and return the result. AssertionError if the two sides do not build
    the same."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), length)
        facts = bench.compare()
        for name, (ours, peer) in facts.items():
            print(f"{name:<28}{ours:>10.4f}{peer:>10.4f}")
        sides = {"lmtrainer": bench.ours, "plain builder": bench.peer}
        samples = in_turn(sides, rounds)
        alone = in_turn({"pairs alone": bench.pairs_alone}, rounds)["pairs alone"]
        peaks = {"lmtrainer": bench.peaks(bench.pair), "plain builder": bench.peaks(bench.build)}
    result = summary(samples, *sides)
    result["same"] = facts
    result["pairsAlone"] = sorted(s.rate for s in alone)[len(alone) // 2]
    result["peakBytes"] = peaks
    print(table(result, "instances/s"))
    print(f"pairs without masks and rows: {result['pairsAlone']:,.0f}/s")
    for name, (once, four) in peaks.items():
        print(f"peak of {name}: {once / 1e6:.1f} MB, of four times the text {four / 1e6:.1f} MB")
    return result


class _Bench:
    def __init__(self, folder: Path, length: int) -> None:
        self.length = length
        (path,) = expand(["sample://jargon"], {})
        # The sample has lines of wrapped text: each is taken for a sentence here.
        self.run: Any = resolve(
            parse(RunConfig, _config(str(path), length)), precision="fp32", threads=1
        )
        self.prepared: Prepared = prepare(self.run, folder / "out", {})
        self.sentences = Sentences(
            open_sentences(self.prepared.dataset, "train"), self.prepared.train.offsets
        )
        self.documents = _documents(self.sentences, self.prepared)
        self.count = len(next(iter(self.prepared.pairs.values())))
        words = self.prepared.vocabulary
        assert words.cls is not None and words.sep is not None and words.mask is not None
        self.ids = Ids(words.cls, words.sep, words.mask, words.regular_ids.tolist())
        self.rounds = 0

    def ours(self) -> Sample:
        watch = Stopwatch()
        watch.start()
        built = 0
        for _ in range(PASSES):
            self.pair(self.sentences)
            rows = TrainingRows(self.prepared, self.run, 0)
            for step in range(-(-self.count // BATCH)):
                for row in rows.micro_batches(step, 0, 1):
                    built += len(row.lengths)
        return watch.stop(built)

    def pairs_alone(self) -> Sample:
        watch = Stopwatch()
        watch.start()
        return watch.stop(self.pair(self.sentences))

    def peer(self) -> Sample:
        watch = Stopwatch()
        watch.start()
        self.rounds += 1
        found = Builder(self.ids, self.length, SHARE, self.rounds).build(self.documents)
        fed = sum(len(batch["input_ids"]) for batch in batches(found, BATCH))
        return watch.stop(fed)

    def pair(self, sentences: Sentences) -> int:
        self.rounds += 1
        drawing = Drawing(self.rounds, self.length, 0.5, 0.1)
        return sum(len(found) for found in pairs(sentences, drawing))

    def build(self, documents: list[Document]) -> int:
        self.rounds += 1
        return len(Builder(self.ids, self.length, SHARE, self.rounds).build(documents))

    def peaks(self, side: Callable[[Any], int]) -> tuple[int, int]:
        """Bytes that are allocated at most while a text is paired, and four times the text; the
        text itself does not count."""
        whole: Any = (self.documents, self.documents * 4)
        if side == self.pair:
            whole = (self.sentences, _times(self.sentences, 4))
        found = []
        for text in whole:
            tracemalloc.start()
            side(text)
            found.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        return found[0], found[1]

    def compare(self) -> dict[str, tuple[float, float]]:
        """Shares of random pairs and of hidden tokens, and the mean length: ours, the peer's."""
        rows = TrainingRows(self.prepared, self.run, 0)
        steps = range(2 * self.count // BATCH)
        ours = [row for step in steps for row in rows.micro_batches(step, 0, 1)]
        theirs = [
            one
            for seed in (1, 2)
            for one in Builder(self.ids, self.length, SHARE, seed).build(self.documents)
        ]
        lengths = np.concatenate([row.lengths for row in ours])
        other = np.array([len(one.tokens) for one in theirs])
        hidden = sum(len(row.labels) for row in ours) / (lengths - 3).sum()
        theirs_hidden = sum(len(one.labels) for one in theirs) / (other - 3).sum()
        labels = np.concatenate([row.pair_labels for row in ours if row.pair_labels is not None])
        facts = {
            "random pairs": (labels.mean(), np.mean([one.is_random for one in theirs])),
            "hidden tokens": (hidden, theirs_hidden),
            "mean length / longest": (lengths.mean() / self.length, other.mean() / self.length),
        }
        for name, (mine, his) in facts.items():
            assert abs(mine - his) < 0.015, f"{name}: {mine:.4f} and {his:.4f}"
        bins = np.linspace(0, self.length, BINS + 1)
        mine, his = (np.histogram(n, bins)[0] / len(n) for n in (lengths, other))
        assert np.abs(mine - his).sum() < 0.06, "the lengths are distributed otherwise"
        return {name: (float(a), float(b)) for name, (a, b) in facts.items()}


def _documents(sentences: Sentences, prepared: Prepared) -> list[Document]:
    ids = np.empty(len(prepared.train), dtype=np.int64)
    prepared.train.copy(0, ids)
    (begins,) = sentences.begins
    found: list[Document] = []
    ends = set(sentences.offsets.tolist())
    for begin, end in itertools.pairwise(begins.astype(np.int64).tolist()):
        if begin in ends:
            found.append([])
        found[-1].append(ids[begin:end].tolist())
    return found


def _times(sentences: Sentences, count: int) -> Sentences:
    offsets = sentences.offsets
    return Sentences(
        [*sentences.begins] * count,
        np.concatenate([[0], *(offsets[1:] + n * offsets[-1] for n in range(count))]),
    )


def _config(path: str, length: int) -> dict[str, Any]:
    return {
        "data": {"train": [path]},
        "tokenizer": {"train": {"vocabSize": 8000}},
        "model": {"type": "bert"},
        "objective": "mlm+nsp",
        "masking": {"share": SHARE},
        "pairs": {"passes": 2},
        "phases": [
            {
                "name": "bench",
                "steps": 1,
                "sequenceLength": length,
                "globalBatchSize": BATCH,
                "microBatchSize": BATCH,
            }
        ],
        "output": {"to": "unused"},
    }
