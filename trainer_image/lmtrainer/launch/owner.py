"""The output folder of a user's own program: claimed before it starts, fenced while it runs, and
when it is done copied to a store, if it is to be, with a record as the last act. Caller: `own`, on
the leader.

The disk may hang, and so may the store, so all of that happens in a thread which may be left
behind.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from lmtrainer.config import CommandConfig
from lmtrainer.config.mistakes import show
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.launch import proof
from lmtrainer.output import Claim, claim, resolve
from lmtrainer.output.copy import copy
from lmtrainer.output.reservation import reserve
from lmtrainer.output.selection import everything_in
from lmtrainer.progress import RankReports
from lmtrainer.s3 import Folder
from lmtrainer.text.sources import folder

FENCE_SECONDS = 3.0
"""Between two looks at whose folder it is."""

MAX_SHOWN = 20
"""Names that a line of the log lists before it says how many more there are."""


class Owner:
    """Begun with `start`; everything else may be read from any thread."""

    def __init__(self, config: CommandConfig, node: NodeEnvironment) -> None:
        self._config = config
        self._node = node
        self._wake = threading.Event()
        self._finish = False
        self.fault: BaseException | None = None
        """Why the folder is not, or not any more, ours to write to, or its copy cannot be made."""
        self.claimed = False
        """The folder is ours, and so is the place of its copy."""
        self.ended_before = False
        """Known once `claimed`: an earlier attempt saw the end of the program."""
        self.copied: tuple[int, int] | None = None
        """Once it is made: bytes of the copy that are done, and in all, 0 while that is counted."""
        self.recorded = False
        """The record is durable, and told to whoever runs the job."""

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="owner").start()

    def record(self) -> bool:
        """Ask for the copy and the record; true once they are there."""
        self._finish = True
        self._wake.set()
        return self.recorded

    def _run(self) -> None:
        try:
            self._hold()
        except BaseException as error:
            self.fault = error

    def _hold(self) -> None:
        config, node = self._config, self._node
        base = folder(config.output.to, node.claims, "output.to")
        place = resolve(base, config, node.job_uid)
        with claim(place, config, node.job_uid, node.attempt) as held:
            store = self._reserve(held)
            self.ended_before = proof.has_ended(held, config)
            if not self.ended_before:
                proof.begin(held)
            self.claimed = True
            while not self._finish:
                self._wake.wait(FENCE_SECONDS)
                _fence(held)
            if store is not None:
                proof.note(held, config)
                self._copy(held, store)
            RankReports(node.node_dir, 0).completion(proof.leave(held, config))
        self.recorded = True

    def _reserve(self, held: Claim) -> Folder | None:
        """Where the results are copied to. Days of work must not end before a bucket that is not
        there."""
        config, node = self._config, self._node
        if config.output.copy_to is None:
            return None
        store = reserve(config.output.copy_to, config, node.job_uid, node.attempt)
        everything_in(held.folder, store)
        return store

    def _copy(self, held: Claim, store: Folder) -> None:
        self._tell(0, 0)
        files, left = everything_in(held.folder, store)
        if left:
            print(f"{store.url}: not copied, no files of the folder: {_shown(left)}", flush=True)
        print(copy(held, files, store, self._config, tell=self._tell), flush=True)

    def _tell(self, done: int, total: int) -> None:
        self.copied = done, total


def _shown(names: Sequence[str]) -> str:
    """Of any bytes, and any number of them."""
    rest = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(map(show, names[:MAX_SHOWN])) + rest


def _fence(held: Claim) -> None:
    """A disk that does not answer proves nothing; the next look may."""
    with contextlib.suppress(OSError):
        held.fence()
