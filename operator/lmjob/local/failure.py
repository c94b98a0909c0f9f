"""A failed job, for people: the first cause, where its log lies, and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lmjob.core.fault import Fault, FaultReason
from lmjob.core.memory import Memory
from lmjob.core.words import fault_words, position_words
from lmjob.local.nodefiles import LOG_FILE
from lmjob.local.store import state_folder

_WAYS_OUT: Mapping[FaultReason, str] = {
    "UserError": "correct the job or its data",
    "DiskFull": "make room; the checkpoints that were saved before are intact",
    "StartupTimeout": "see the log; raise startup.timeoutSeconds if it only needs longer",
    "Fenced": "another run works in the output folder: wait for it, or choose another output.to",
    "RankHung": "the message tells where it stood; hangSeconds sets how long is too long",
    "RankKilled": "see the log; signal 9 often means that the machine was out of memory",
}


def failure_lines(output: Path, memory: Memory, command: str) -> Iterator[str]:
    """What failed, where to look, and what to do; `command` runs the job again."""
    fault = memory.last_fault or Fault(reason="RankFailed", message="the cause is unknown")
    yield f"failed: {fault_words(fault)}"
    spent = memory.outcome_reason == "RestartBudgetSpent"
    tries = f" after {memory.restarts} restarts without progress" if spent else ""
    yield f"  {fault.reason} in stage {fault.stage}, attempt {fault.attempt}{tries}"
    log = state_folder(output) / f"{fault.attempt}-{fault.replica}" / LOG_FILE
    if log.is_file():
        yield f"  log: {log}"
    yield f"  {_WAYS_OUT.get(fault.reason, 'see the log')}"
    yield f"  then: {command}   (goes on from {position_words(memory.durable)})"
