"""Saves while training goes on: tensors are copied, and the copy is written by a thread.

Weights and moments change in the update at the end of a step only, so the copy is made while the
next step computes its gradients; `staged` holds the update back until it is done. Then the thread
hashes, writes, flushes, reads back and publishes, as `save` does. At most one save is in flight:
the next one waits for it. What goes wrong is raised by the next call that asks. Caller: `train`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lmtrainer.checkpoint.snapshot import Snapshot
from lmtrainer.checkpoint.tensors import aliases
from lmtrainer.checkpoint.verify import Checkpoint

Write = Callable[[Snapshot], Checkpoint | None]

NICENESS = 5
"""The writer gives way to the threads that compute."""


class BackgroundSaver:
    """Belongs to one thread, which trains."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._staged = threading.Event()
        self._staged.set()
        self._fault: BaseException | None = None
        self._saved: Checkpoint | None = None
        self._room: dict[str, Tensor] = {}

    def begin(self, snapshot: Snapshot, write: Write) -> Checkpoint | None:
        """Save the tensors of `snapshot` as they are now; `write` makes a snapshot durable. Returns
        what the save before this one made, if nobody has asked yet."""
        before = self.finish()
        self._staged.clear()
        mark = _mark()
        self._thread = threading.Thread(
            target=self._run, args=(snapshot, write, mark), daemon=True, name="checkpoint"
        )
        self._thread.start()
        return before

    def staged(self) -> None:
        """Return when the tensors of the last `begin` may change."""
        self._staged.wait()

    def poll(self) -> Checkpoint | None:
        """The checkpoint that has become durable since the last call, if any."""
        return None if self._thread is None or self._thread.is_alive() else self.finish()

    def finish(self) -> Checkpoint | None:
        """Wait for the save in flight; returns as `poll`."""
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        fault, saved = self._fault, self._saved
        self._fault = self._saved = None
        if fault is not None:
            raise fault
        return saved

    def _run(self, snapshot: Snapshot, write: Write, mark: torch.cuda.Event | None) -> None:
        try:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            copied = self._copy(snapshot, mark)
            self._staged.set()
            self._saved = write(copied)
        except BaseException as fault:
            self._fault = fault
        finally:
            self._staged.set()

    def _copy(self, snapshot: Snapshot, mark: torch.cuda.Event | None) -> Snapshot:
        """The same in the memory of the host; room for it is made once."""
        with _stream_behind(mark):
            weights = self._take("weights", snapshot.weights)
            optimizer = self._take("optimizer", snapshot.optimizer)
        return replace(snapshot, weights=weights, optimizer=optimizer)

    def _take(self, part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Names that share a tensor share its copy."""
        tied = aliases(tensors)
        found = {
            name: self._held(f"{part}/{name}", tensor).copy_(tensor, non_blocking=True)
            for name, tensor in tensors.items()
            if name not in tied
        }
        return {name: found[tied.get(name, name)] for name in tensors}

    def _held(self, key: str, tensor: Tensor) -> Tensor:
        kept = self._room.get(key)
        if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
            kept = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self._room[key] = kept
        return kept


def _mark() -> torch.cuda.Event | None:
    """On a GPU, the place in its queue behind which the tensors are as they are to be saved."""
    if not (torch.cuda.is_available() and torch.cuda.is_initialized()):  # type: ignore[no-untyped-call]
        return None
    mark = torch.cuda.Event()  # type: ignore[no-untyped-call]
    mark.record()
    return mark


@contextlib.contextmanager
def _stream_behind(mark: torch.cuda.Event | None) -> Iterator[None]:
    """Copies from a GPU go beside its computations, in a queue of their own."""
    if mark is None:
        yield
        return
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_event(mark)
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()
