"""How a command ends: with its result, or with one line about what is wrong. Called by the
commands."""

from __future__ import annotations

import sys
from collections.abc import Callable

from lmtrainer.config import MistakesError
from lmtrainer.contract.exits import ExitType
from lmtrainer.durable import DamagedError
from lmtrainer.faults import UserError, exit_type


def carry_out(act: Callable[[], int | None]) -> int:
    """Run `act`; the exit code that it gives, if any, else that of `contract.exits`. A defect of
    ours keeps its traceback."""
    try:
        return act() or ExitType.SUCCEEDED.code
    except (UserError, MistakesError, DamagedError) as fault:
        print(f"lmtrainer: {fault}", file=sys.stderr)
        return ExitType.USER_ERROR.code
    except OSError as fault:
        print(f"lmtrainer: {fault}", file=sys.stderr)
        return exit_type(fault).code
