"""The operator's settings: environment variables, their defaults and rules. Caller: `main`."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from lmjob.api.names import DEFAULT_TRAINER_IMAGE, MANAGER

PREFIX = "LMJOB_"
LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """A variable that cannot be used: its name, value and rule."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Seconds where nothing else is said."""

    trainer_image: str = DEFAULT_TRAINER_IMAGE
    """Of jobs that name none."""
    namespaces: tuple[str, ...] = ()
    """Whose jobs are carried out; none named: those of the whole cluster."""
    lease_namespace: str = ""
    """Where the Lease lies; empty: the operator's own namespace."""
    lease_name: str = MANAGER
    lease_seconds: float = 15.0
    """After so long without a sign of the leader another one takes over."""
    identity: str = ""
    """Of this process among the candidates; empty: the host name, which is the pod's name."""
    resync_seconds: float = 30.0
    http_port: int = 8080
    concurrency: int = 32
    """Jobs in work at the same time."""
    log_level: str = "info"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that LMJOB_* variables give; SettingsError for one that cannot be used."""
    return Settings(
        trainer_image=_text(environ, "TRAINER_IMAGE") or Settings.trainer_image,
        namespaces=tuple(_text(environ, "NAMESPACES").replace(",", " ").split()),
        lease_namespace=_text(environ, "LEASE_NAMESPACE"),
        lease_name=_text(environ, "LEASE_NAME") or Settings.lease_name,
        lease_seconds=_number(environ, "LEASE_SECONDS", Settings.lease_seconds, 1.0),
        identity=_text(environ, "IDENTITY") or socket.gethostname(),
        resync_seconds=_number(environ, "RESYNC_SECONDS", Settings.resync_seconds, 1.0),
        http_port=int(_number(environ, "HTTP_PORT", Settings.http_port, 0)),
        concurrency=int(_number(environ, "CONCURRENCY", Settings.concurrency, 1)),
        log_level=_level(environ),
    )


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(PREFIX + name, "").strip()


def _number(environ: Mapping[str, str], name: str, default: float, least: float) -> float:
    text = _text(environ, name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value < 1e9:
        raise SettingsError(f"{PREFIX}{name}: must be a number >= {least:g} (got {text!r})")
    return value


def _level(environ: Mapping[str, str]) -> str:
    level = (_text(environ, "LOG_LEVEL") or Settings.log_level).lower()
    if level not in LEVELS:
        raise SettingsError(f"{PREFIX}LOG_LEVEL: must be one of {', '.join(LEVELS)}")
    return level
