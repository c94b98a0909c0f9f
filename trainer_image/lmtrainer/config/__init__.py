"""The configuration of a run: standard library only, because `lmjob` imports it without torch.

What may live here: settings classes, their rules and their defaults. What may not: anything that
opens a file, reads the environment or imports a library.
"""

from lmtrainer.config.command import CommandConfig
from lmtrainer.config.hashing import config_hash, fingerprint, identity
from lmtrainer.config.mistakes import Mistake, MistakesError
from lmtrainer.config.reading import parse
from lmtrainer.config.resolution import resolve
from lmtrainer.config.run import ResolvedRun, RunConfig, Work
from lmtrainer.config.schema import document

__all__ = [
    "CommandConfig",
    "Mistake",
    "MistakesError",
    "ResolvedRun",
    "RunConfig",
    "Work",
    "config_hash",
    "document",
    "fingerprint",
    "identity",
    "parse",
    "resolve",
]
