"""How the operator proves to the API server who it is: KUBECONFIG, or the pod's service account.

One source for both our own client and kopf's watches (`lmjob.kube.session`).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import kopf

from lmjob.kube import kubeconfig

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class CredentialsError(Exception):
    """No usable credentials; the text says what is missing and the way out."""


class TokenFile:
    """A token that is replaced on disk from time to time, as kubelets do."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: tuple[int, int, int] | None = None
        self._token = ""

    def read(self) -> str:
        """The token as it is now; the last one while the file cannot be read."""
        try:
            found = self._path.stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_size)
            if state != self._state:
                self._token = self._path.read_text().strip() or self._token
                self._state = state
        except OSError:
            if not self._token:
                raise
        return self._token


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Where the API server is and what it is shown."""

    server: str
    """Without a slash at its end."""
    namespace: str = "default"
    """Of the operator itself."""
    insecure: bool = False
    """The server's certificate is not checked."""
    ca: Path | str | None = None
    """A file, or base64 of one; None for the system's authorities."""
    certificate: Path | str | None = None
    key: Path | str | None = field(default=None, repr=False)
    token: TokenFile | str | None = field(default=None, repr=False)
    proxy_url: str | None = field(default=None, repr=False)

    def headers(self) -> dict[str, str]:
        """New for every request: tokens are replaced while the operator runs."""
        token = self._token_now()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def ssl_context(self) -> ssl.SSLContext | bool:
        """For aiohttp; True (never used) where the server speaks plain HTTP."""
        if self.server.startswith("http://"):
            return True
        context: ssl.SSLContext = self.connection_info().as_ssl_context()
        return context

    def connection_info(self) -> kopf.ConnectionInfo:
        """The same for kopf, with the token of this moment."""
        return kopf.ConnectionInfo(
            server=self.server,
            insecure=self.insecure,
            ca_path=_file(self.ca),
            ca_data=_data(self.ca),
            certificate_path=_file(self.certificate),
            certificate_data=_data(self.certificate),
            private_key_path=_file(self.key),
            private_key_data=_data(self.key),
            token=self._token_now() or None,
            default_namespace=self.namespace,
            proxy_url=self.proxy_url,
        )

    def _token_now(self) -> str:
        if isinstance(self.token, TokenFile):
            return self.token.read()
        return self.token or ""


def load(environ: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Credentials:
    """The credentials that KUBECONFIG names if it is set, else the service account's. Raises
    CredentialsError."""
    named = environ.get("KUBECONFIG", "")
    try:
        if named:
            return _from_user(kubeconfig.read(named))
        return _from_account(environ, account)
    except (OSError, kubeconfig.KubeconfigError) as error:
        raise CredentialsError(str(error)) from error


def _from_user(user: kubeconfig.Access) -> Credentials:
    return Credentials(
        server=user.server,
        namespace=user.namespace,
        insecure=user.insecure,
        ca=user.ca,
        certificate=user.certificate,
        key=user.key,
        token=TokenFile(user.token) if isinstance(user.token, Path) else user.token,
        proxy_url=user.proxy_url,
    )


def _from_account(environ: Mapping[str, str], account: Path) -> Credentials:
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (account / "token").exists():
        raise CredentialsError(
            "no credentials: KUBECONFIG is not set and this is no pod with a service account; "
            "set KUBECONFIG, or run in a pod with automountServiceAccountToken: true"
        )
    named = f"[{host}]" if ":" in host else host
    return Credentials(
        server=f"https://{named}:{port}",
        namespace=(account / "namespace").read_text().strip(),
        ca=account / "ca.crt",
        token=TokenFile(account / "token"),
    )


def _file(value: Path | str | None) -> str | None:
    return str(value) if isinstance(value, Path) else None


def _data(value: Path | str | None) -> str | None:
    return value if isinstance(value, str) else None
