"""A whole run in this process, in a second: the three stages on a piece of the Jargon File, and
what TensorBoard reads of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.evaluate import events
from lmtrainer.progress import RankReports
from lmtrainer.stage import StageContext, StopRequest
from lmtrainer.stages import evaluate, prepare, train
from tests.runs import jargon

STEPS = 6

DOCUMENT: dict[str, Any] = {
    "tokenizer": {"train": {"vocabSize": 300}},
    "model": {
        "type": "bert",
        "preset": "tiny",
        "config": {"layers": 1, "hiddenSize": 16, "heads": 2, "maxPositions": 64},
    },
    "phases": [
        {"name": "short", "steps": 4, "sequenceLength": 16, "globalBatchSize": 4},
        {"name": "long", "steps": 2, "sequenceLength": 32, "globalBatchSize": 4},
    ],
    "evaluate": {"everySteps": 2},
    "checkpoint": {"everySteps": 2, "keep": 5},
}


def corpus(folder: Path) -> Path:
    """Sixty documents."""
    path = folder / "text.txt"
    path.write_text(jargon(60))
    return path


def run_of(folder: Path, **fields: Any) -> Any:
    """A resolved configuration; fields of the document may be given instead of its own."""
    plain = {
        **DOCUMENT,
        "data": {"train": [str(corpus(folder))]},
        "output": {"to": str(folder / "out")},
        **fields,
    }
    return resolve(parse(RunConfig, plain), precision="fp32", threads=1)


def context(folder: Path, stage: Any, run: Any, *, attempt: int = 1) -> StageContext:
    """Of the only rank."""
    node_dir = folder / "node"
    node_dir.mkdir(exist_ok=True)
    node = NodeEnvironment(job_uid="job-a", attempt=attempt, node_dir=str(node_dir))
    return StageContext(
        stage=stage, run=run, node=node, reports=RankReports(node_dir, 0), stop=StopRequest()
    )


def carry_out(folder: Path, **fields: Any) -> Path:
    """Prepare, train and evaluate; returns the output folder."""
    run = run_of(folder, **fields)
    for name, stage in (("prepare", prepare), ("train", train), ("evaluate", evaluate)):
        stage.run(context(folder, name, run))
    return folder / "out"


def series(output: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value), as TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(output / events.FOLDER), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def no_fence() -> None:
    return
