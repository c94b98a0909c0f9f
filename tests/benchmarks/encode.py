"""Text to a packed file of ids, beside `datasets.map` and grouping as run_mlm does it: the same
text, the same tokenizer, nothing cached, and every id compared before any speed is told."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from transformers import AutoTokenizer

from lmtrainer import vocab
from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.config.tokenizer import TokenizerTraining, TokenizerType
from lmtrainer.dataset import Prepared, prepare
from tests.benchmarks import corpus
from tests.benchmarks.rounds import Sample, Stopwatch, in_turn, summary, table

BLOCK = 512
"""Ids of a row of the peer."""

TRAINED_ON = 4_000_000
"""Characters from which the tokenizer is made."""

FAMILIES: dict[TokenizerType, str] = {"wordpiece": "bert", "bytebpe": "gpt2"}
SIZES: dict[TokenizerType, int] = {"wordpiece": 30522, "bytebpe": 50257}


def main(kind: TokenizerType, *, rounds: int, megabytes: int) -> dict[str, object]:
    """Run the benchmark, print and return the result. AssertionError if an id differs."""
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), kind, megabytes)
        bench.compare_ids()
        sides = {"lmtrainer": bench.ours, "datasets.map + group": bench.peer}
        samples = in_turn(sides, rounds)
    result = summary(samples, *sides)
    result["tokenizer"], result["bytes"] = kind, bench.bytes
    print(table(result, "bytes of text/s"))
    return result


class Bench:
    def __init__(self, folder: Path, kind: TokenizerType, megabytes: int) -> None:
        self.folder = folder
        self.text, held_out = folder / "text.txt", folder / "held-out.txt"
        self.bytes = corpus.write(self.text, megabytes)
        held_out.write_text("A text that is held out.\n" * 100, "utf-8")
        settings = TokenizerTraining(
            type=kind,
            vocab_size=SIZES[kind],
            special_tokens="bert" if kind == "wordpiece" else "gpt2",
        )
        self.tokenizer = folder / "tokenizer"
        begin = self.text.read_text("utf-8")[:TRAINED_ON]
        trained = vocab.train(settings, lambda _: iter([begin]))
        vocab.save(trained, settings, self.tokenizer, max_length=BLOCK, fingerprint="bench")
        config = {
            "data": {"train": [str(self.text)], "validation": {"files": [str(held_out)]}},
            "tokenizer": {"from": str(self.tokenizer)},
            "model": {"type": FAMILIES[kind], "preset": "tiny"},
            "phases": [{"name": "bench", "steps": 1, "sequenceLength": 64}],
            "output": {"to": "unused"},
        }
        self.run = resolve(parse(RunConfig, config), precision="fp32", threads=1)
        self.causal = kind == "bytebpe"

    def ours(self) -> Sample:
        watch = Stopwatch()
        watch.start()
        self._prepare()
        return watch.stop(self.bytes)

    def peer(self) -> Sample:
        watch = Stopwatch()
        watch.start()
        self._map()
        return watch.stop(self.bytes)

    def compare_ids(self) -> None:
        """AssertionError unless both give the same ids."""
        prepared = self._prepare()
        ours = np.empty(len(prepared.train), dtype=np.int64)
        prepared.train.copy(0, ours)
        if self.causal:  # documents end in a token of their own, which the peer does not write
            ours = np.delete(ours, np.asarray(prepared.train.offsets)[1:] - 1)
        rows = self._map()[0].with_format("numpy")["input_ids"]
        assert np.array_equal(ours, np.concatenate(list(rows))), "the ids differ"
        print(f"{len(ours):,} ids, all the same", flush=True)

    def _prepare(self) -> Prepared:
        output = self.folder / "ours"
        shutil.rmtree(output, ignore_errors=True)
        return prepare(self.run, output, {})

    def _map(self) -> tuple[Any, Any]:
        """The ids of each document, and in groups."""
        cache = self.folder / "peer"
        shutil.rmtree(cache, ignore_errors=True)
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        tokenizer = AutoTokenizer.from_pretrained(self.tokenizer, model_max_length=10**9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = datasets.load_dataset(
                "text",
                data_files=str(self.text),
                sample_by="paragraph",
                cache_dir=str(cache),
                split="train",
            )
            ids = text.map(
                lambda rows: {
                    "input_ids": tokenizer(rows["text"], add_special_tokens=False)["input_ids"]
                },
                batched=True,
                remove_columns=["text"],
            )
            return ids, ids.map(_grouped, batched=True)


def _grouped(rows: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
    """As run_mlm groups: the rows of a batch one after the other, the last part left out."""
    ids = list(itertools.chain.from_iterable(rows["input_ids"]))
    total = len(ids) // BLOCK * BLOCK
    return {"input_ids": [ids[start : start + BLOCK] for start in range(0, total, BLOCK)]}
