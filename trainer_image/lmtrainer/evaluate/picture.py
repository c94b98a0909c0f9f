"""The loss curve as a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SMOOTHED_POINTS = 50
"""The smoothed line averages over about a fiftieth of the run."""


def draw(rows: Sequence[Mapping[str, Any]], path: Path, *, baseline: float | None = None) -> None:
    """Training loss of each step, smoothed; held-out loss where it was measured; `baseline` (nats)
    as a line. `rows` are those of metrics.jsonl, phases end to end."""
    losses = [float(row["loss"]) for row in rows if "loss" in row]
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss (nats per token)")
    steps = range(1, len(losses) + 1)
    axes.plot(steps, losses, color="0.8", linewidth=0.8, label="training")
    axes.plot(steps, _smooth(losses), color="tab:blue", label="training, smoothed")
    held_out = _held_out(rows)
    if held_out:
        axes.plot(*zip(*held_out, strict=True), "o-", color="tab:red", label="held-out")
    if baseline is not None:
        axes.axhline(baseline, color="tab:gray", linestyle="--", label="unigram, held-out")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def _held_out(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    points = []
    step = 0
    for row in rows:
        step += "loss" in row
        if "heldOutLoss" in row:
            points.append((step, float(row["heldOutLoss"])))
    return points


def _smooth(losses: Sequence[float]) -> list[float]:
    """Exponential moving average without the bias of its start."""
    keep = 1.0 - min(1.0, SMOOTHED_POINTS / max(1, len(losses)))
    average, weight, smoothed = 0.0, 0.0, []
    for loss in losses:
        average = keep * average + (1 - keep) * loss
        weight = keep * weight + (1 - keep)
        smoothed.append(average / weight)
    return smoothed
