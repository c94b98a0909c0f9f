"""Reads the run's configuration from its file, for the launcher and for each rank."""

from __future__ import annotations

import json
from pathlib import Path

from lmtrainer.config import CommandConfig, MistakesError, ResolvedRun, parse
from lmtrainer.faults import UserError


def read_run(path: str) -> ResolvedRun | CommandConfig:
    """The run's configuration; UserError with all its mistakes."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(raw, dict) and "command" in raw:
            return parse(CommandConfig, raw)
        return parse(ResolvedRun, raw)
    except MistakesError as error:
        raise UserError(f"{path} cannot be used:\n{error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error
