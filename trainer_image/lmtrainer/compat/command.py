"""What a kit's file declares: its scripts, their flags, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lmtrainer.compat.documents import Files
from lmtrainer.compat.flags import Flag, Said, Values
from lmtrainer.compat.translation import Group, Step


@dataclass(frozen=True)
class Request:
    """What surrounds a command line."""

    files: Files
    group: Group


Translate = Callable[[Values, Said, Request], tuple[Step, ...]]


@dataclass(frozen=True, kw_only=True)
class Command:
    """One script of a kit."""

    kit: str
    script: str
    flags: Mapping[str, Flag]
    translate: Translate
    help: str
    nested: bool = False
    """Its flags have dots, and its configuration files are nested (--config, --trainer.x)."""
