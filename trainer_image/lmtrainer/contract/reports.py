"""What comes back from a node: progress while it runs, a termination message when it has ended.

Ranks write the files named here into the node's folder (`environment.NODE_DIR`), each by writing
`NAME.tmp` and renaming it; the launcher serves and bundles them. A script of the user's own may
write the same files.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lmtrainer.config.reading import parse
from lmtrainer.config.scalars import CONTROL, MAX_STRING
from lmtrainer.config.schema import document, fields, setting
from lmtrainer.contract import VERSION
from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.exits import ExitType

PROGRESS_FILE = "progress.json"
COMPLETION_FILE = "completion.json"
ANNOUNCEMENT_FILE = "announcement.json"

READY_PATH = "/readyz"
HEALTH_PATH = "/healthz"
PROGRESS_PATH = "/progress"

MAX_TERMINATION_BYTES = 4096
"""What the kubelet keeps of a termination message."""

CUT_MARK = " [cut]"
"""At the end of a text that was too long."""

T = TypeVar("T")


def heartbeat_file(rank: int) -> str:
    """Touched by a rank at least once a step; its age tells a hung rank."""
    return f"heartbeat-{rank}"


def stack_file(rank: int) -> str:
    """Where a rank stands, written when the launcher asks; there as soon as a rank can answer."""
    return f"stack-{rank}.txt"


def error_file(rank: int) -> str:
    """First error of a rank, in the format of torch.distributed.elastic."""
    return f"error-{rank}.json"


@dataclass(frozen=True, kw_only=True, order=True)
class Position:
    """A point of training: optimizer steps done in a phase. Ordered by time."""

    phase_index: int
    step: int
    phase: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a stage is. `done` of `total` counts `unit`s of the whole stage."""

    version: int = VERSION
    job_uid: str = ""
    attempt: int = 0
    stage: Stage = "train"
    activity: str = ""
    """What is being done, for people: "train tokenizer", "phase short"."""
    unit: str = "steps"
    done: int = 0
    total: int | None = None
    position: Position | None = None
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    """Real tokens, padding left out, over all ranks."""
    eta_seconds: float | None = None
    durable: Position | None = None
    """The newest verified checkpoint."""
    kept: int = 0
    """Beside checkpoints, what no later attempt does again: units of preparation; 1 once a program
    of the user's own has ended well."""
    rollbacks: int = 0
    """How often training went wrong and was taken back to a checkpoint."""
    resumed_from: Position | None = None
    """Where this attempt took up the work; None if it began at the beginning."""
    first_step_at: float | None = None
    """Unix time of the first step of this attempt."""
    updated_at: float = 0.0
    """Unix time of this document."""
    heartbeats: Mapping[str, float] = setting(dict, "rank -> seconds since its last sign of life")


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The proof that a stage is done: written last, after everything it names is durable."""

    version: int = VERSION
    stage: Stage = "train"
    job_uid: str = ""
    attempt: int = 0
    config_hash: str = ""
    position: Position | None = None
    """Where training ended."""
    target: Position | None = None
    """Where it had to end; a completion with another position proves nothing."""
    rollbacks: int = 0
    """As in the last progress."""
    manifest_sha256: str = ""
    """sha256 of the manifest of what the stage made."""
    output: str = ""
    """The folder of the results, as the configuration names it."""

    @property
    def proves_success(self) -> bool:
        return bool(self.manifest_sha256) and self.position == self.target


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The first error of a node."""

    message: str = ""
    rank: int | None = None
    exception: str = ""
    """Class name of the exception, if there was one."""
    signal: int | None = None
    exit_code: int | None = None


@dataclass(frozen=True, kw_only=True)
class Termination:
    """The last word of a node, at most MAX_TERMINATION_BYTES as JSON."""

    version: int = VERSION
    job_uid: str = ""
    attempt: int = 0
    stage: Stage = "train"
    node_rank: int = 0
    exit_type: str = ExitType.FAILED.name
    failure: Failure | None = None
    completion: Completion | None = None
    durable: Position | None = None


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """The ports that a launcher really listens on, written before it is ready."""

    version: int = VERSION
    pid: int = 0
    status_port: int = 0
    master_port: int = 0


def dump(report: object) -> str:
    """A report as one line of JSON that `load` reads again: without control characters and numbers
    that are not finite; a termination is cut to what the kubelet keeps of it."""
    plain = _readable(document(report))
    if isinstance(report, Termination):
        _cut(plain, "failure", "message")
        _cut(plain, "completion", "output")
    return _encode(plain)


def load(cls: type[T], text: str) -> T:
    """Read a report; fields of newer versions are left out. ValueError if it is none."""
    return parse(cls, known_part(cls, json.loads(text)))


def known_part(kind: Any, raw: Any) -> Any:
    """A document without the fields that `kind`, a class or a type of a field, does not know."""
    inner = typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(raw, Mapping):
        known = (f for f in fields(typing.cast(type, kind)) if f.key in raw)
        return {f.key: known_part(f.kind, raw[f.key]) for f in known}
    if isinstance(raw, Mapping) and typing.get_origin(kind) is Mapping:
        return {key: known_part(inner[1], value) for key, value in raw.items()}
    if isinstance(raw, list):
        return [known_part(inner[0], item) if inner else item for item in raw]
    for choice in inner:
        if dataclasses.is_dataclass(choice):
            return known_part(choice, raw)
    return raw


def _encode(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=True, allow_nan=False)


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return CONTROL.sub(" ", value)[:MAX_STRING]
    if isinstance(value, dict):
        readable = {name: _readable(item) for name, item in value.items()}
        return {name: item for name, item in readable.items() if item is not None}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cut(plain: dict[str, Any], part: str, name: str) -> None:
    """Shorten the end of one text by as much as the whole is too long."""
    excess = len(_encode(plain)) - MAX_TERMINATION_BYTES
    if excess <= 0 or name not in plain.get(part, {}):
        return
    text = plain[part][name]
    room = len(_encode(text)) - excess - len(CUT_MARK)
    lengths = range(len(text) + 1)
    kept = bisect.bisect_right(lengths, room, key=lambda length: len(_encode(text[:length]))) - 1
    plain[part][name] = text[: max(0, kept)] + CUT_MARK
