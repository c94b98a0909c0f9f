"""Reads KUBECONFIG: the current context's cluster and user. Called by `lmjob.kube.credentials`.

Certificates and tokens, inline or in files. Nothing is run: plug-ins that log in are refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_WAY_OUT = "use a token or a client certificate, or run the operator in a pod"

_UNSUPPORTED: Mapping[str, str] = {
    "exec": "logs in by a program (exec), which the operator does not run",
    "auth-provider": "logs in by an auth-provider, which the operator does not have",
    "username": "logs in by a password, which API servers no longer take",
}


class KubeconfigError(Exception):
    """The file cannot be used; the text names field, rule and way out."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """One context, resolved. A Path is a file, a str the data itself."""

    server: str
    namespace: str
    insecure: bool
    ca: Path | str | None
    certificate: Path | str | None
    key: Path | str | None = field(repr=False)
    token: Path | str | None = field(repr=False)
    proxy_url: str | None = field(repr=False)


def read(named: str) -> Access:
    """The access that the files of KUBECONFIG (joined as PATH is) describe; of two entries of one
    name the first counts. Raises KubeconfigError and OSError."""
    files = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    documents = [(file.resolve().parent, _document(file)) for file in files]
    current = next((d["current-context"] for _, d in documents if d.get("current-context")), None)
    if not current:
        raise KubeconfigError(f"{named}: current-context is not set; kubectl config use-context")
    _, context = _entry(documents, "contexts", "context", current)
    home, cluster = _entry(documents, "clusters", "cluster", context.get("cluster"))
    folder, user = _entry(documents, "users", "user", context.get("user"))
    for way, words in _UNSUPPORTED.items():
        if user.get(way):
            raise KubeconfigError(f"{named}: user {context['user']!r} {words}; {_WAY_OUT}")
    insecure = bool(cluster.get("insecure-skip-tls-verify"))
    return Access(
        server=_server(str(cluster.get("server") or ""), insecure),
        namespace=context.get("namespace") or "default",
        insecure=insecure,
        ca=None if insecure else _either(home, cluster, "certificate-authority"),
        certificate=_either(folder, user, "client-certificate"),
        key=_either(folder, user, "client-key"),
        token=user.get("token") or (folder / user["tokenFile"] if "tokenFile" in user else None),
        proxy_url=cluster.get("proxy-url"),
    )


def _document(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{file} is no YAML: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{file} is no kubeconfig")
    return document


def _entry(
    documents: Sequence[tuple[Path, dict[str, Any]]], many: str, one: str, name: Any
) -> tuple[Path, dict[str, Any]]:
    """The entry of a name, and the folder that its relative paths start from."""
    for folder, document in documents:
        for entry in document.get(many) or ():
            if entry.get("name") == name:
                return folder, entry.get(one) or {}
    raise KubeconfigError(f"KUBECONFIG has no entry {name!r} in {many}")


def _either(folder: Path, entry: Mapping[str, Any], field: str) -> Path | str | None:
    """Data wins over a file, as with kubectl."""
    if entry.get(f"{field}-data"):
        return str(entry[f"{field}-data"])
    return folder / entry[field] if entry.get(field) else None


def _server(server: str, insecure: bool) -> str:
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise KubeconfigError(f"KUBECONFIG: server {server!r} is no URL of an API server")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not insecure:
        raise KubeconfigError(
            f"KUBECONFIG: server {server!r} would be sent credentials in the clear; use https, or "
            "set insecure-skip-tls-verify: true if you mean it"
        )
    return server.rstrip("/")
