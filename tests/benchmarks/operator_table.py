"""The figures of a run as a table: measured, the bound that must hold, the aim."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Row = tuple[str, float | None, float | None, float | None, str]
"""What, measured, must, aim, unit. Bounds are upper ones; None: for information."""

PREPARE_WRITES = 2
"""A pod and a claim: of the prepare stage, which the peers' jobs do not have."""


def rows(result: dict[str, Any]) -> list[Row]:
    """Of ours; a part that was not measured has none."""
    return [*_idle(result), *_bursts(result), *_rest(result)]


def _idle(result: dict[str, Any]) -> Iterator[Row]:
    found = result.get("idle", {})
    for step, text, must in (
        ("firstPod", "CR to first pod, p50", 2.0),
        ("prepareDoneToMaster", "prepare done to master pod, p50", None),
        ("masterReadyToLastWorker", "master Ready to last worker pod, p50", 3.0),
        ("allReady", "CR to all Ready, p50", None),
    ):
        ratio = _ratio(*(found.get(name, {}).get(step, {}).get("p50") for name in SIDES))
        if ratio is not None:
            yield text, ratio, must, must and 1.3, "x floor"
    if "ours" in found:
        each = found["ours"]["writesPerJob"]
        yield "own writes per job until Running", each, None, None, ""
        yield "the same without the prepare stage", each - PREPARE_WRITES, 9.0, 7.0, ""


def _bursts(result: dict[str, Any]) -> Iterator[Row]:
    for part in ("burst", "large"):
        found = result.get(part, {})
        ratio = _ratio(*(found.get(name, {}).get("allPodsSeconds") for name in SIDES))
        if ratio is not None:
            count = found["ours"]["jobs"]
            yield f"burst of {count} jobs, all pods exist", ratio, 2.0, 1.3, "x floor"


def _rest(result: dict[str, Any]) -> Iterator[Row]:
    small, large = (result.get(part, {}).get("ours") for part in ("burst", "large"))
    if small:
        yield "own writes per job until Running, burst", small["writesPerJob"], None, None, ""
    if large:
        yield "memory at 1,000 jobs", large["rssMiB"], 150.0, 100.0, "MiB"
        again = large["restart"]
        at_exec = again["execToFirstPod"].get("at-exec")
        yield "restart: exec to the first pod of a new job", at_exec, 1.0, 0.5, "s"
        yield "restart: writes to unchanged jobs", again["writesToUnchangedJobs"], 0.0, 0.0, ""
    too_soon = [found["runningTooSoon"] for found in _ours(result)]
    if too_soon:
        yield "Running said before all pods were Ready", float(sum(too_soon)), 0.0, 0.0, "jobs"
    if "poison" in result:
        yield "30 bad jobs delay 50 good ones", result["poison"]["delayMs"], 1000.0, 100.0, "ms"


SIDES = ("ours", "floor")


def _ours(result: dict[str, Any]) -> Iterator[Any]:
    for part in ("idle", "burst", "large"):
        if "ours" in result.get(part, {}):
            yield result[part]["ours"]


def _ratio(ours: float | None, floor: float | None) -> float | None:
    return ours / floor if ours and floor else None


def verdict(row: Row) -> str:
    _, found, must, aim, _ = row
    if must is None or aim is None:
        return ""
    if found is None or found > must:
        return "MISS"
    return "aim" if found <= aim else "pass"


def table(result: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [f"{'':<48}{'measured':>12}{'must':>8}{'aim':>8}"]
    for row in rows(result):
        text, found, *bounds, unit = row
        shown = "none" if found is None else f"{found:.2f}"
        limits = "".join(f"{'' if bound is None else f'{bound:g}':>8}" for bound in bounds)
        lines.append(f"{text:<48}{shown:>12}{limits} {unit:<8} {verdict(row)}")
    return "\n".join(lines)
