"""Text to a packed file by two processes beside one, each with a CPU of its own, the result
compared byte for byte. A process that may use all CPUs does, by the tokenizer's threads: what is
measured is what another process with another CPU adds.

Two CPUs of a virtual machine seldom give twice what one gives. How much they do is measured in the
same run: two strangers prepare the same text at once, each the whole of it with a CPU of its own.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lmtrainer.config import RunConfig
from lmtrainer.dataset import prepare
from lmtrainer.durable import MANIFEST_FILE, sha256_of
from tests.benchmarks.encode import Bench
from tests.benchmarks.rounds import Sample, in_turn, summary, table

TWO, ONE, STRANGERS = "two processes, two CPUs", "one process, one CPU", "two strangers, a CPU each"


def main(*, rounds: int, megabytes: int) -> dict[str, object]:
    """Run the benchmark, print and return the result. AssertionError if a byte differs."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    assert len(cpus) == 2, "needs two CPUs"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder, _stranger(cpus[1]) as stranger:
        bench = _Bench(Path(folder), megabytes, cpus, stranger)
        sides = {TWO: lambda: bench.by(2), ONE: lambda: bench.by(1), STRANGERS: bench.strangers}
        samples = in_turn(sides, rounds)
        assert bench.found[1] == bench.found[2], "the results differ"
        bytes_of_text = bench.encode.bytes
    result = summary(samples, TWO, ONE)
    medians = {name: statistics.median(s.rate for s in found) for name, found in samples.items()}
    result["bytes"] = bytes_of_text
    result["mostOfTwoCpus"] = medians[STRANGERS] / medians[ONE]
    print(table(result, "bytes of text/s"))
    print(f"these two CPUs give strangers {result['mostOfTwoCpus']:.2f} times what one gives")
    return result


class _Bench:
    def __init__(self, folder: Path, megabytes: int, cpus: list[int], stranger: Executor) -> None:
        self.folder, self.cpus, self.stranger = folder, cpus, stranger
        self.encode = Bench(folder, "wordpiece", megabytes)
        self.found: dict[int, str] = {}

    def by(self, processes: int) -> Sample:
        self.encode.run = self._run(processes)
        with _on(self.cpus[:processes]):
            sample = self.encode.ours()
        self.found[processes] = sha256_of(self.folder / "ours/dataset" / MANIFEST_FILE)
        return sample

    def strangers(self) -> Sample:
        self.encode.run = self._run(1)
        beside = Path(tempfile.mkdtemp(dir=self.folder))
        start = time.perf_counter()
        other = self.stranger.submit(_prepare, self.encode.run, beside)
        with _on(self.cpus[:1]):
            mine = self.encode.ours()
        theirs = other.result()
        seconds = time.perf_counter() - start
        return Sample(2 * self.encode.bytes, seconds, mine.cpu_seconds + theirs)

    def _run(self, processes: int) -> RunConfig:
        data = dataclasses.replace(self.encode.run.data, processes=processes)
        return dataclasses.replace(self.encode.run, data=data)


def _prepare(run: RunConfig, folder: Path) -> float:
    """Returns the CPU seconds."""
    start = time.process_time()
    prepare(run, folder, {})
    return time.process_time() - start


@contextmanager
def _stranger(cpu: int) -> Iterator[Executor]:
    """Another process, with its libraries loaded, on one CPU."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, os.sched_setaffinity, (0, [cpu])) as pool:
        pool.submit(_import).result()
        yield pool


def _import() -> None:
    """A task unpickles its function: its module, with all that it imports, is there then."""


@contextmanager
def _on(cpus: list[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
