"""From the words of a command line to a `Translation`: which kit, which script, what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lmtrainer.compat import ipu, lightning, nsp, thai, tutorial
from lmtrainer.compat.command import Command, Request
from lmtrainer.compat.commandline import CommandLine, take_apart
from lmtrainer.compat.documents import Files, mapping_of
from lmtrainer.compat.flags import Said, Values, read_flags, read_values, unknown_words
from lmtrainer.compat.lightning_settings import read_nested
from lmtrainer.compat.snippet import is_snippet, read_snippet
from lmtrainer.compat.translation import RunStep, Step, Translation
from lmtrainer.config import Mistake, MistakesError, RunConfig, parse
from lmtrainer.config.mistakes import meant, show

COMMANDS: tuple[Command, ...] = tuple(
    command for kit in (tutorial, thai, ipu, lightning, nsp) for command in kit.COMMANDS
)
SCRIPTS: Mapping[str, tuple[Command, ...]] = MappingProxyType(
    {
        script: tuple(command for command in COMMANDS if command.script == script)
        for script in dict.fromkeys(command.script for command in COMMANDS)
    }
)
"""Script -> the kits that have one of this name."""


def translate(words: Sequence[str], environment: Mapping[str, str], files: Files) -> Translation:
    """What a command line means here; MistakesError with everything that is wrong with it.

    `words` as a shell hands them over, with or without python and a launcher of torch in front.
    Equal arguments give equal translations.
    """
    line = take_apart(words, environment)
    program = files.read(line.path) if line.script not in SCRIPTS else None
    if program is not None and is_snippet(program):
        step, told = read_snippet(program, line.path)
        notes = (*line.notes, *told)
        return Translation(
            kit=tutorial.KIT,
            script=line.script,
            arguments=line.arguments,
            steps=(step,),
            notes=notes,
        )
    command = find(line)
    values = _values(command, line, files)
    said = Said()
    steps = command.translate(values, said, Request(files, line.group))
    notes = said.end(values)
    _check(steps)
    return Translation(
        kit=command.kit,
        script=command.script,
        arguments=line.arguments,
        steps=steps,
        notes=(*line.notes, *notes),
        group=said.group or line.group,
        hardware=dict(said.hardware),
    )


def find(line: CommandLine) -> Command:
    """The script of a command line. Where two kits have one of the same name, the one whose flags
    these are; a kit in front decides, as in thai:run_mlm.py."""
    known = SCRIPTS.get(line.script, ())
    if not known:
        way_out = meant(line.script, SCRIPTS)
        raise MistakesError([Mistake("script", show(line.script), "is not known", way_out)])
    if line.kit:
        named = [command for command in known if command.kit == line.kit]
        if not named:
            kits = ", ".join(command.kit for command in known)
            way_out = f"those of {kits} have {line.script}"
            raise MistakesError([Mistake("kit", show(line.kit), "has no such script", way_out)])
        return named[0]
    return min(known, key=lambda command: unknown_words(command.flags, line.arguments))


def _values(command: Command, line: CommandLine, files: Files) -> Values:
    if command.nested:
        return read_nested(command.flags, line.arguments, files)
    if len(line.arguments) == 1 and line.arguments[0].endswith(".json"):
        return read_values(command.flags, mapping_of(line.arguments[0], files))
    return read_flags(command.flags, line.arguments)


def _check(steps: Sequence[Step]) -> None:
    """The configurations of a translation must be ones of ours."""
    for step in steps:
        if isinstance(step, RunStep):
            parse(RunConfig, step.run)
