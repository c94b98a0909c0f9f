"""The reports of one rank, written into its node's folder. Callers: the stages, `launch.rank`."""

from __future__ import annotations

import dataclasses
import json
import time
import traceback
from pathlib import Path

from lmtrainer.contract import reports
from lmtrainer.contract.reports import Completion, Progress
from lmtrainer.progress.files import touch, write_whole

MAX_ERROR = 20_000
"""Longest message and longest traceback that an error file keeps, in characters."""


class RankReports:
    """Where one rank reports. Every rank may call everything: of progress and completion, which
    are the stage's, only rank 0's are kept."""

    def __init__(self, node_dir: Path | str, rank: int) -> None:
        self._folder = Path(node_dir)
        self._rank = rank

    def heartbeat(self) -> None:
        """A sign of life, at least once a step; costs one system call."""
        touch(self._folder / reports.heartbeat_file(self._rank))

    def progress(self, progress: Progress) -> None:
        """Replace the stage's progress; the time is stamped here. Also a sign of life."""
        self.heartbeat()
        if self._rank == 0:
            stamped = dataclasses.replace(progress, updated_at=time.time())
            write_whole(self._folder / reports.PROGRESS_FILE, reports.dump(stamped))

    def completion(self, completion: Completion) -> None:
        """Say that the stage is done. Call it last, after what it names is durable."""
        if self._rank == 0:
            write_whole(self._folder / reports.COMPLETION_FILE, reports.dump(completion))

    def error(self, error: BaseException) -> None:
        """Write the rank's error in the format of torch.distributed.elastic, so that scripts of a
        user's own that use its `record` are read alike. `exception` is our addition."""
        name = type(error).__name__
        document = {
            "message": {
                "message": f"{name}: {error}"[:MAX_ERROR],
                "extraInfo": {
                    "py_callstack": "".join(traceback.format_exception(error))[-MAX_ERROR:],
                    "timestamp": str(int(time.time())),
                    "exception": name,
                },
            }
        }
        write_whole(self._folder / reports.error_file(self._rank), json.dumps(document))
