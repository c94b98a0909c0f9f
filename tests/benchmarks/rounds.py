"""Two sides measured in turn in one run: A B A B ..., medians, spread, CPU seconds."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Sample:
    """One round of one side."""

    work: int
    """What was done, in the unit of the benchmark: real tokens."""
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.work / self.seconds


class Stopwatch:
    """Measures the part of a round between `start` and `stop`."""

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu()

    def stop(self, work: int) -> Sample:
        return Sample(work, time.perf_counter() - self._wall, _cpu() - self._cpu)


def _cpu() -> float:
    """Seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def in_turn(sides: dict[str, Callable[[], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """Run each side once a round, in the order given."""
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            gc.collect()
            samples[name].append(side())
    return samples


def summary(samples: dict[str, list[Sample]], ours: str, peer: str) -> dict[str, object]:
    """Medians and spread of each side, and the ratio of the medians and of each round."""
    rates = {name: [s.rate for s in found] for name, found in samples.items()}
    by_round = [a / b for a, b in zip(rates[ours], rates[peer], strict=True)]
    return {
        "ratio": statistics.median(rates[ours]) / statistics.median(rates[peer]),
        "ratioByRound": by_round,
        "sides": {name: _side(found) for name, found in samples.items()},
    }


def _side(samples: list[Sample]) -> dict[str, object]:
    rates = [s.rate for s in samples]
    median = statistics.median(rates)
    return {
        "median": median,
        "spread": (max(rates) - min(rates)) / median,
        "cpuSecondsPerMillion": 1e6 * statistics.median(s.cpu_seconds / s.work for s in samples),
        "rounds": [asdict(s) for s in samples],
    }


def table(result: dict[str, object], unit: str) -> str:
    """The summary as lines for people; `unit` is that of the rates."""
    lines = [f"{'side':<28}{unit:>16}{'spread':>9}{'CPU s per million':>20}"]
    for name, side in result["sides"].items():  # type: ignore[attr-defined]
        lines.append(
            f"{name:<28}{side['median']:>16,.0f}{side['spread']:>8.0%}"
            f"{side['cpuSecondsPerMillion']:>20.1f}"
        )
    ratios = result["ratioByRound"]
    assert isinstance(ratios, list)
    lines.append(f"ratio {result['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f} by round)")
    return "\n".join(lines)
