"""Command lines of five earlier kits, as our own steps: what stood there, and what it means here.

`mapping.translate` is the door: (words, environment, files) -> `Translation`. Everything in this
room is a pure function of those; `lmtrainer.commands.replay` carries a translation out, `lmjob
convert` prints it as a job. Standard library only, and YAML in `documents`. One file for each kit.
"""

from lmtrainer.compat.mapping import translate
from lmtrainer.compat.translation import Group, Note, RunStep, Translation

__all__ = ["Group", "Note", "RunStep", "Translation", "translate"]
