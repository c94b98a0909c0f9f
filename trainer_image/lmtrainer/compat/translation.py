"""The shapes of a translation: steps of ours, and a line for each flag that was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from lmtrainer.contract.arguments import Stage

Fate = Literal["renamed", "made right", "ignored", "recorded"]
"""renamed: a field of ours says the same. made right: it is done otherwise, for the reason told.
ignored: nothing here needs it. recorded: kept with the results, without effect."""


@dataclass(frozen=True)
class Note:
    """What became of one flag."""

    flag: str
    fate: Fate
    text: str
    value: str = ""
    """As it was written, where it was."""

    def __str__(self) -> str:
        written = f"{self.flag} {self.value}" if self.value else self.flag
        return f"{written}: {self.fate}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Group:
    """The nodes and processes of a command line, and which node this is."""

    nodes: int = 1
    node_rank: int = 0
    processes: int = 1
    master_addr: str = "127.0.0.1"
    master_port: int = 0
    """0: one node alone, which takes a free port."""

    @property
    def world_size(self) -> int:
        return self.nodes * self.processes


@dataclass(frozen=True, kw_only=True)
class RunStep:
    """Stages of a run. Its own folder is `run.output.to`; what the earlier kit's user looks for is
    put into `results` afterwards (`lmtrainer.commands.replay.results`)."""

    run: Mapping[str, Any]
    """Document of a `RunConfig`, not resolved."""
    stages: tuple[Stage, ...]
    results: str
    """The folder that the command line names, such as --output_dir."""
    overwrite: bool = False
    """Begin afresh although there is a run in `results`."""
    layout: Literal["plain", "lightning", "test"] = "plain"
    events: str | None = None
    """Where the files for TensorBoard go; None: into `results`."""
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Further files of `results`: name -> text."""
    model: str | None = None
    """Evaluate this saved model instead of one that the step trains."""


@dataclass(frozen=True, kw_only=True)
class CompileStep:
    """Compile the kernels of a run ahead; nothing is trained."""

    run: Mapping[str, Any]
    """As in `RunStep`."""
    to: str
    """The folder of the kernels."""


@dataclass(frozen=True, kw_only=True)
class TokenizerStep:
    """Train a tokenizer and write it down."""

    training: Mapping[str, Any]
    """Document of a `TokenizerTraining`."""
    files: tuple[str, ...]
    to: str
    """A folder that AutoTokenizer loads; or a file, for `form` json and vocab."""
    form: Literal["folder", "json", "vocab", "sentencepiece"] = "folder"
    """folder; json: {token: id}; vocab: a folder with vocab.txt; sentencepiece: see thai."""
    beside: str | None = None
    """sentencepiece: the folder of SentencePiece's own files."""
    overwrite: bool = True


@dataclass(frozen=True, kw_only=True)
class VocabularyStep:
    """Write the tokens of a saved tokenizer to a file, one a line, in the order of their ids."""

    tokenizer: str
    file: str


@dataclass(frozen=True, kw_only=True)
class InstancesStep:
    """Make sentence pairs with fixed masks and write them as JSON lines."""

    files: tuple[str, ...]
    to: tuple[str, ...]
    vocabulary: str
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ExportStep:
    """Copy a saved model with its tokenizer to a folder that from_pretrained loads."""

    model: str
    to: str


@dataclass(frozen=True, kw_only=True)
class PrintStep:
    """Print a text, as --print_config does."""

    text: str


Step = (
    RunStep | CompileStep | TokenizerStep | VocabularyStep | InstancesStep | ExportStep | PrintStep
)


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What a command line means here."""

    kit: str
    script: str
    arguments: tuple[str, ...]
    steps: tuple[Step, ...]
    notes: tuple[Note, ...] = ()
    group: Group = field(default_factory=Group)
    hardware: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What was asked of hardware of another kind, checked and resolved: kept with the results."""
