"""How to reach an API server: what a kubeconfig says, as plain values."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Access:
    """An API server and the credentials for it. `kubeconfig` is the file they came from."""

    kubeconfig: Path
    server: str
    ca: str
    certificate: str
    key: str
    token: str

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca or None)
        if self.certificate:
            with tempfile.TemporaryDirectory() as folder:
                pair = [Path(folder, "crt"), Path(folder, "key")]
                pair[0].write_text(self.certificate)
                pair[1].touch(mode=0o600)
                pair[1].write_text(self.key)
                context.load_cert_chain(*pair)
        return context

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def read_access(kubeconfig: Path) -> Access:
    """Of the current context of a kubeconfig."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config, "contexts", config["current-context"])["context"]
    cluster = _named(config, "clusters", context["cluster"])["cluster"]
    user = _named(config, "users", context["user"])["user"]
    return Access(
        kubeconfig=kubeconfig,
        server=cluster["server"],
        ca=_content(cluster, "certificate-authority"),
        certificate=_content(user, "client-certificate"),
        key=_content(user, "client-key"),
        token=user.get("token", ""),
    )


def plain_kubeconfig(path: Path, server: str) -> Path:
    """A kubeconfig for a door that asks for no credentials."""
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "door",
        "clusters": [{"name": "door", "cluster": {"server": server}}],
        "users": [{"name": "door", "user": {}}],
        "contexts": [{"name": "door", "context": {"cluster": "door", "user": "door"}}],
    }
    path.write_text(json.dumps(config))
    return path


def _named(config: Any, kind: str, name: str) -> Any:
    return next(entry for entry in config[kind] if entry["name"] == name)


def _content(entry: Any, name: str) -> str:
    """Of a file that is named, or that is held as base64."""
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"]).decode()
    return Path(entry[name]).read_text() if name in entry else ""
