"""The output folder of a user's own program: claimed before it starts, fenced while it runs, with a
record when it is done. Caller: `node`, on the leader.

The disk may hang, so all of that happens in a thread which may be left behind.
"""

from __future__ import annotations

import contextlib
import threading

from lmtrainer.config import CommandConfig, config_hash, fingerprint
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.contract.reports import Completion
from lmtrainer.output import Claim, claim, resolve, write_record
from lmtrainer.progress import RankReports
from lmtrainer.text.sources import folder

FENCE_SECONDS = 3.0
"""Between two looks at whose folder it is."""


class Owner:
    """Begun with `start`; everything else may be read from any thread."""

    def __init__(self, config: CommandConfig, node: NodeEnvironment) -> None:
        self._config = config
        self._node = node
        self._wake = threading.Event()
        self._finish = False
        self.fault: BaseException | None = None
        """Why the folder is not, or not any more, ours to write to."""
        self.claimed = False
        self.recorded = False
        """The record is durable, and told to whoever runs the job."""

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="owner").start()

    def record(self) -> bool:
        """Ask for the record; true once it is there."""
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
            self.claimed = True
            while not self._finish:
                self._wake.wait(FENCE_SECONDS)
                _fence(held)
            self._leave_record(held)
        self.recorded = True

    def _leave_record(self, held: Claim) -> None:
        """What stands for a manifest is the command itself: the files are the program's affair."""
        record = Completion(
            stage="train",
            job_uid=held.job_uid,
            attempt=held.attempt,
            config_hash=config_hash(self._config),
            manifest_sha256=fingerprint(list(self._config.command)),
            output=self._config.output.to,
        )
        write_record(held, record)
        RankReports(self._node.node_dir, 0).completion(record)


def _fence(held: Claim) -> None:
    """A disk that does not answer proves nothing; the next look may."""
    with contextlib.suppress(OSError):
        held.fence()
