"""Text to a packed file by two processes beside one, each with a CPU of its own, the result
compared byte for byte. A process that may use all CPUs does, by the tokenizer's threads: what is
measured is what another process with another CPU adds."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

from lmtrainer.durable import MANIFEST_FILE, sha256_of
from tests.benchmarks.encode import Bench
from tests.benchmarks.rounds import Sample, in_turn, summary, table


def main(*, rounds: int, megabytes: int) -> dict[str, object]:
    """Run the benchmark, print and return the result. AssertionError if a byte differs."""
    cpus = sorted(os.sched_getaffinity(0))
    assert len(cpus) >= 2, "needs two CPUs"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), "wordpiece", megabytes, again=True)
        found: dict[int, str] = {}

        def by(processes: int) -> Sample:
            os.sched_setaffinity(0, cpus[:processes])
            data = dataclasses.replace(bench.run.data, processes=processes)
            bench.run = dataclasses.replace(bench.run, data=data)
            try:
                sample = bench.ours()
            finally:
                os.sched_setaffinity(0, cpus)
            found[processes] = sha256_of(bench.folder / "ours/dataset" / MANIFEST_FILE)
            return sample

        sides = {"two processes, two CPUs": lambda: by(2), "one process, one CPU": lambda: by(1)}
        samples = in_turn(sides, rounds)
    assert found[1] == found[2], "the results differ"
    result = summary(samples, *sides)
    result["bytes"] = bench.bytes
    print(table(result, "bytes of text/s"))
    return result
