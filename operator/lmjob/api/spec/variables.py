"""Environment variables of the user's own, literal or out of a Secret; never over those of the
trainer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from lmjob.api.spec.syntax import SECRET_KEY, SECRET_KEY_HELP, SUBDOMAIN, SUBDOMAIN_HELP
from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.schema import required, setting
from lmtrainer.contract.environment import (
    FORBIDDEN_PREFIXES,
    is_reserved,
)

THREAD_NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


_OTHER_SOURCES = ("configMapKeyRef", "fieldRef", "resourceFieldRef", "fileKeyRef")


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """An entry of a Secret of the job's namespace. Its value is never read here: the kubelet gives
    it to the pod."""

    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"optional": "a pod waits for its Secret; the job says so"}
    )

    name: str = required("name of the Secret", pattern=SUBDOMAIN, pattern_help=SUBDOMAIN_HELP)
    key: str = required("key in the Secret", pattern=SECRET_KEY, pattern_help=SECRET_KEY_HELP)


@dataclass(frozen=True, kw_only=True)
class ValueSource:
    """Where the value of a variable comes from."""

    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        dict.fromkeys(_OTHER_SOURCES, "give a value, or secretKeyRef")
    )

    secret_key_ref: SecretKey = required("entry of a Secret")


@dataclass(frozen=True, kw_only=True)
class EnvVar:
    """One variable. `$(NAME)` in a value stays as it is written; with no value it is empty."""

    name: str = required(
        "name of the variable",
        pattern=r"(?=.{1,255}\Z)[A-Za-z_][A-Za-z0-9_.\-]*",
        pattern_help="must be letters, digits, '_', '.' and '-', and not begin with a digit",
    )
    value: str | None = setting(None, "its value, taken literally")
    value_from: ValueSource | None = setting(None, "in place of a value")

    def mistakes(self) -> Iterator[Mistake]:
        if self.value is not None and self.value_from is not None:
            rule, about = "cannot be given beside a value", ("value",)
            yield Mistake("valueFrom", show({}), rule, "remove either", about=about)
        rule, way_out = _refusal(self.name)
        if rule:
            yield Mistake("name", show(self.name), rule, way_out)


def _refusal(name: str) -> tuple[str, str]:
    if is_reserved(name):
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


def literals(variables: Iterable[EnvVar]) -> Mapping[str, str]:
    """The variables that have a value, by name."""
    found = {v.name: v.value or "" for v in variables if v.value_from is None}
    return MappingProxyType(dict(sorted(found.items())))


def secrets(variables: Iterable[EnvVar]) -> Mapping[str, SecretKey]:
    """The variables that come out of a Secret, by name."""
    found = {v.name: v.value_from.secret_key_ref for v in variables if v.value_from is not None}
    return MappingProxyType(dict(sorted(found.items())))
