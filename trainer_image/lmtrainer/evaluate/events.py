"""`tensorboard/`: what metrics.jsonl says, as event files of TensorBoard.

The files are a view: made from metrics.jsonl alone, anew in every attempt. So a resumed run has
each step once, and no step is missing, whenever the one before was killed. The stage `train`
follows the file while it grows, `evaluate` writes the view a last time with its own measurement.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lmtrainer.durable import make_folder
from lmtrainer.output import METRICS_FILE, read_metrics, row_of

FOLDER = "tensorboard"

FOLLOW_SECONDS = 5.0
"""Between two looks at metrics.jsonl; the first one, which loads the library, comes as late."""

END_SECONDS = 10.0
"""How long the last look may take."""

Fence = Callable[[], None]

_PLACE = frozenset({"phaseIndex", "phase", "step"})
_GPU = re.compile(r"(gpu\d+)([A-Z]\w*)")
_HELD_OUT = "heldOut"


class EventFile:
    """A new event file with the rows of a run from its first one on."""

    def __init__(self, folder: Path, *, ended_at: float, seconds: float) -> None:
        """`ended_at`: Unix time of the last row so far, `seconds`: what its steps took in all."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        self._event, self._summary = Event, Summary
        make_folder(folder)
        self._older = sorted(folder.glob("*tfevents*"))
        number = 1 + max((_number(path.name) for path in self._older), default=0)
        self._writer = EventsWriter(str(folder / f"{number:06d}-events"))
        self._clock = ended_at - seconds
        self._phase, self._last, self._done = 0, 0, 0
        # Who has an older file open forgets its steps when it sees this.
        start = SessionLog(status=SessionLog.START)
        self._writer.write_event(Event(wall_time=self._clock, step=0, session_log=start))

    def add(self, row: Mapping[str, Any]) -> None:
        """One row of metrics.jsonl, in their order; steps are counted over all phases."""
        values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in scalars(row)]
        if row.get("phaseIndex", 0) > self._phase:
            self._phase, self._done, self._last = row["phaseIndex"], self._done + self._last, 0
        self._last = row.get("step", self._last)
        self._clock += row.get("seconds") or 0.0
        if values:
            step = self._done + self._last
            summary = self._summary(value=values)
            self._writer.write_event(self._event(wall_time=self._clock, step=step, summary=summary))

    def flush(self) -> None:
        """All rows so far can be read."""
        self._writer.flush()

    def replace_older(self) -> None:
        """Remove the files that were there before: this one has all their steps."""
        while self._older:
            self._older.pop().unlink(missing_ok=True)

    def close(self) -> None:
        self._writer.close()


def scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Tag and value of each number in a row: `train/loss`, `eval/perplexity`, `gpu0/power_watts`.
    What was not finite is null in the row, and left out."""
    for name, value in row.items():
        if isinstance(value, int | float) and math.isfinite(value) and name not in _PLACE:
            yield _tag(name), float(value)
    if isinstance(row.get("tokens"), int) and row.get("seconds"):
        yield "train/tokens_per_second", row["tokens"] / row["seconds"]


def write(output: Path, rows: Iterable[Mapping[str, Any]], *, fence: Fence) -> None:
    """Make the view anew out of `rows`, as of now."""
    rows = list(rows)
    file = _begin(output, rows, fence)
    for row in rows:
        file.add(row)
    file.close()
    fence()
    file.replace_older()


@contextlib.contextmanager
def following(output: Path, *, fence: Fence) -> Iterator[None]:
    """Keep the view up to date for the length of the block, in a thread of its own. It is worth no
    run: what goes wrong is printed, once."""
    over = threading.Event()

    def follow() -> None:
        try:
            _follow(output, over, fence)
        except Exception as fault:
            print(f"{FOLDER}/ is not written any more: {fault}", flush=True)

    thread = threading.Thread(target=follow, daemon=True, name=FOLDER)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(END_SECONDS)


def _follow(output: Path, over: threading.Event, fence: Fence) -> None:
    last = over.wait(FOLLOW_SECONDS)
    file = _begin(output, read_metrics(output), fence)
    with (output / METRICS_FILE).open("rb") as source:
        while True:
            for line in _whole_lines(source):
                row = row_of(line)
                if row is not None:
                    file.add(row)
            file.flush()
            fence()
            file.replace_older()
            if last:
                file.close()
                return
            last = over.wait(FOLLOW_SECONDS)


def _begin(output: Path, rows: Iterable[Mapping[str, Any]], fence: Fence) -> EventFile:
    fence()
    seconds = sum(row.get("seconds") or 0.0 for row in rows)
    path = output / METRICS_FILE
    ended_at = path.stat().st_mtime if path.is_file() else 0.0
    return EventFile(output / FOLDER, ended_at=ended_at, seconds=seconds)


def _whole_lines(source: IO[bytes]) -> Iterator[bytes]:
    """Lines from here on; one that is still being written is left for the next time."""
    while line := source.readline():
        if not line.endswith(b"\n"):
            source.seek(-len(line), os.SEEK_CUR)
            return
        yield line


def _number(name: str) -> int:
    head = name.partition("-")[0]
    return int(head) if head.isdigit() else 0


def _tag(name: str) -> str:
    gpu = _GPU.fullmatch(name)
    if gpu is not None:
        return f"{gpu[1]}/{_snake(gpu[2])}"
    if name.startswith(_HELD_OUT):
        return f"eval/{_snake(name.removeprefix(_HELD_OUT))}"
    return f"train/{_snake(name)}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
