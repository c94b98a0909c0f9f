"""Tables of flags, and how a command line is read with one: all mistakes at once.

A flag is written --learning_rate 1e-4, --learning_rate=1e-4 or --learning-rate 1e-4; a switch may
have a value (--do_train=True). Of a flag that stands twice the last one counts, as in argparse.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from lmtrainer.compat.kinds import READERS, WORDS, Kind
from lmtrainer.compat.translation import Fate, Group, Note
from lmtrainer.config.mistakes import Mistake, MistakesError, close_word, show


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag of an earlier kit. Its name is typed with two dashes in front."""

    name: str
    kind: Kind
    default: Any = None
    fate: Fate = "renamed"
    text: str
    """What it is here: a field of ours for `renamed`, else what is done and why."""
    refused: Callable[[Any], bool] | None = None
    """Values that cannot be honoured; `text` is then the reason."""
    required: bool = False


@dataclass(frozen=True)
class Values:
    """The values of all flags of a table, and which of them were written."""

    flags: Mapping[str, Flag]
    values: Mapping[str, Any]
    given: tuple[str, ...]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a flag that not every kit has."""
        found = self.values.get(name)
        return default if found is None else found

    def has(self, name: str) -> bool:
        """Was it written?"""
        return name in self.given

    def notes(self, instead: Mapping[str, Note]) -> tuple[Note, ...]:
        """A line for each flag that was written; `instead` where a kit knows more."""
        plain = (
            instead.get(name) or Note(f"--{name}", self.flags[name].fate, self.flags[name].text)
            for name in self.given
        )
        return tuple(
            dataclasses.replace(note, value=_shown(self.values[name]))
            for name, note in zip(self.given, plain, strict=True)
        )


def renamed(name: str, kind: Kind, to: str, default: object = None) -> Flag:
    """A flag that a field of ours says, too."""
    return Flag(name=name, kind=kind, default=default, text=to)


def ignored(why: str, *names: str, kind: Kind = "text") -> tuple[Flag, ...]:
    """Flags that nothing here needs, for one reason."""
    return tuple(Flag(name=name, kind=kind, fate="ignored", text=why) for name in names)


def table(*groups: Iterable[Flag]) -> dict[str, Flag]:
    """Flags by name; a later group replaces flags of an earlier one."""
    return {flag.name: flag for group in groups for flag in group}


def read_flags(flags: Mapping[str, Flag], words: Sequence[str]) -> Values:
    """The values of a command line; MistakesError with every mistake in it."""
    written, unknown = _split(flags, words)
    return read_values(flags, written, unknown)


def read_values(
    flags: Mapping[str, Flag], written: Mapping[str, Any], unknown: Iterable[str] = ()
) -> Values:
    """The same from values that are read already, as those of a configuration file are."""
    mistakes = [unknown_flag(word, flags) for word in unknown]
    mistakes += [unknown_flag(f"--{name}", flags) for name in written if name not in flags]
    values = {name: flag.default for name, flag in flags.items()}
    for name, raw in written.items():
        if name in flags:
            values[name] = _read(flags[name], raw, mistakes)
    for name, flag in flags.items():
        if flag.required and written.get(name) is None:
            mistakes.append(Mistake(f"--{name}", "", "required", flag.text))
    if mistakes:
        raise MistakesError(mistakes)
    return Values(flags, values, tuple(name for name in written if name in flags))


def unknown_words(flags: Mapping[str, Flag], words: Sequence[str]) -> int:
    """How many words of a command line the table does not know."""
    return len(_split(flags, words)[1])


def unknown_flag(word: str, flags: Mapping[str, Flag]) -> Mistake:
    """A flag that no table knows, with the nearest one."""
    name, _, value = word.partition("=")
    if not name.startswith("-"):
        return Mistake(show(word), "", "belongs to no flag", "remove it, or quote the value")
    near = close_word(name.lstrip("-"), flags)
    way_out = f"did you mean --{near}?" if near else "see lmtrainer compat SCRIPT --help"
    return Mistake(name, show(value) if value else "", "unknown flag", way_out)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise MistakesError([Mistake("command line", "", message)])


def _split(
    flags: Mapping[str, Flag], words: Sequence[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What was written of each flag, as texts, and the words that no flag takes."""
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for flag in flags.values():
        names = dict.fromkeys((f"--{flag.name}", f"--{flag.name.replace('_', '-')}"))
        options: dict[str, Any] = {"dest": flag.name}
        if flag.kind == "switch":
            options |= {"nargs": "?", "const": "true"}
        elif flag.kind == "list":
            options |= {"nargs": "+"}
        parser.add_argument(*names, **options)
    found, unknown = parser.parse_known_args(list(words))
    return vars(found), tuple(unknown)


def _read(flag: Flag, raw: Any, mistakes: list[Mistake]) -> Any:
    try:
        value = None if raw is None else READERS[flag.kind](raw)
    except (ValueError, TypeError):
        rule = f"must be {WORDS[flag.kind]}"
        mistakes.append(Mistake(f"--{flag.name}", show(raw), rule))
        return flag.default
    if flag.refused is not None and flag.refused(value):
        mistakes.append(Mistake(f"--{flag.name}", show(raw), flag.text))
        return flag.default
    return value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass
class Said:
    """Collects what a kit's own rules say beyond the table: notes instead, and mistakes."""

    instead: dict[str, Note] = field(default_factory=dict)
    more: list[Note] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    hardware: dict[str, Any] = field(default_factory=dict)
    group: Group | None = None
    """The nodes and processes, where the script's own flags say them."""

    def note(self, flag: str, fate: Fate, text: str) -> None:
        """Of a flag that was written, or of something that was not."""
        self.instead[flag] = Note(f"--{flag}", fate, text)

    def wrong(self, flag: str, value: object, rule: str, way_out: str = "") -> None:
        shown = "" if value is None else show(value)
        self.mistakes.append(Mistake(f"--{flag}", shown, rule, way_out))

    def end(self, values: Values) -> tuple[Note, ...]:
        """All notes, in the order of the command line; MistakesError if there were mistakes."""
        if self.mistakes:
            raise MistakesError(self.mistakes)
        unwritten = [note for name, note in self.instead.items() if not values.has(name)]
        return (*values.notes(self.instead), *unwritten, *self.more)


def choice(flag: str, known: Mapping[str, str], values: Values, said: Said) -> str:
    """What the word of a flag stands for; one that is not known is a mistake, and the first."""
    word = values[flag]
    if word not in known:
        near = close_word(word, known)
        way_out = f'did you mean "{near}"?' if near else ""
        said.wrong(flag, word, f"must be one of {', '.join(known)}", way_out)
    return known.get(word, next(iter(known.values())))
