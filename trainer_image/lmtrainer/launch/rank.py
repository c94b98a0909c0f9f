"""What runs in each rank's process: `lmtrainer rank`, started by the launcher only.

Ties the rank to its launcher, turns signals into a request, calls the stage, and leaves its error
where the launcher finds it. The stage is imported here, so that torch is loaded in ranks alone.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from lmtrainer.config import CommandConfig
from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.environment import NODE_DIR, from_env
from lmtrainer.contract.exits import ExitType
from lmtrainer.launch import lifeline, stacks
from lmtrainer.launch.peers import exit_type_of
from lmtrainer.launch.program import become
from lmtrainer.launch.rank_environment import LAUNCHER_PID
from lmtrainer.launch.settings import read_run
from lmtrainer.launch.signals import stop_on_signals
from lmtrainer.progress import RankReports
from lmtrainer.stage import StageContext

_PLAIN = frozenset({ExitType.USER_ERROR, ExitType.INTERRUPTED, ExitType.FENCED})
"""Ends that a message explains and a traceback only hides."""


def run_rank(stage: Stage, config_path: str, env: Mapping[str, str]) -> int:
    """Run a stage, or a program of the user's own, in this process. Returns 0 or does not
    return."""
    if LAUNCHER_PID not in env:
        raise SystemExit("lmtrainer rank: is started by lmtrainer launch only")
    lifeline.die_with(int(env[LAUNCHER_PID]))
    faulthandler.enable()
    rank = int(env["RANK"])
    reports = RankReports(env[NODE_DIR], rank)
    try:
        run = read_run(config_path)
        node = from_env(env)
        if isinstance(run, CommandConfig):
            become(run, node, env)
        # Only now: a program that we become answers no question, but would die of it.
        stacks.answer(Path(node.node_dir), rank)
        stop = stop_on_signals()
        context = StageContext(
            stage=stage,
            run=run,
            node=node,
            reports=reports,
            rank=rank,
            local_rank=int(env["LOCAL_RANK"]),
            world_size=int(env["WORLD_SIZE"]),
            stop=stop,
        )
        reports.heartbeat()
        _load(stage).run(context)
    except Exception as error:
        _end(reports, error)
    return 0


def _load(stage: Stage) -> ModuleType:
    """The stage's module. Hundreds of thousands of objects come with it, all to stay: the collector
    would look for garbage among them again and again, so it rests meanwhile, and leaves them alone
    afterwards. A fifth of the time to the first step."""
    gc.disable()
    try:
        return importlib.import_module(f"lmtrainer.stages.{stage}")
    finally:
        gc.freeze()
        gc.enable()


def _end(reports: RankReports, error: Exception) -> NoReturn:
    """Say why, and go at once: leaving the interpreter regularly would wait for threads that may be
    stuck in an exchange with a peer that is gone."""
    exit_type = exit_type_of(error)
    if exit_type in _PLAIN:
        print(f"lmtrainer: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    try:
        reports.error(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_type.code)
