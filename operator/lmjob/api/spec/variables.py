"""Environment variables of the user's own: taken literally, never over those of the trainer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.schema import required, setting
from lmtrainer.contract.environment import (
    FORBIDDEN_PREFIXES,
    RESERVED_NAMES,
    RESERVED_PREFIXES,
)

THREAD_NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class EnvVar:
    """One variable. `$(NAME)` in a value stays as it is written."""

    name: str = required(
        "name of the variable",
        pattern=r"(?=.{1,255}\Z)[A-Za-z_][A-Za-z0-9_.\-]*",
        pattern_help="must be letters, digits, '_', '.' and '-', and not begin with a digit",
    )
    value: str = setting("", "its value, taken literally")

    def mistakes(self) -> Iterator[Mistake]:
        rule, way_out = _refusal(self.name)
        if rule:
            yield Mistake("name", show(self.name), rule, way_out)


def _refusal(name: str) -> tuple[str, str]:
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES):
        return "is reserved: the operator and the launcher set it", "remove it"
    if name.startswith(FORBIDDEN_PREFIXES):
        rule = "is not allowed: it changes what code every process of the pod loads"
        return rule, "build it into the image"
    if name in THREAD_NAMES:
        return "is set from spec.threadsPerProcess", "remove it and give spec.threadsPerProcess"
    return "", ""


def repeated_names(field: str, variables: Iterable[EnvVar]) -> Iterator[Mistake]:
    """Names that stand in one list twice."""
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        if variable.name in seen:
            where = f"{field}[{index}].name"
            yield Mistake(where, show(variable.name), "is used twice", "remove one")
        seen.add(variable.name)


def as_mapping(*lists: Iterable[EnvVar]) -> Mapping[str, str]:
    """Variables by name; later lists win."""
    found = {variable.name: variable.value for variables in lists for variable in variables}
    return MappingProxyType(dict(sorted(found.items())))
