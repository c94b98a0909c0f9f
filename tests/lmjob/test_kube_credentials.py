"""Who the operator is to the API server: KUBECONFIG, or its pod's service account."""

from __future__ import annotations

import base64
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmjob.kube.credentials import Credentials, CredentialsError, load


def config(user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [
            {"name": "other", "context": {"cluster": "none", "user": "none"}},
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ml"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }


def loaded(folder: Path, document: Any, **environ: str) -> Credentials:
    (folder / "config").write_text(yaml.safe_dump(document))
    return load({"KUBECONFIG": str(folder / "config"), **environ})


def test_certificates_in_files_are_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    user = {"client-certificate": "pki/me.crt", "client-key": "/keys/me.key"}
    found = loaded(tmp_path, config(user, **{"certificate-authority": "pki/ca.crt"}))
    assert found.server == "https://10.0.0.1:6443"
    assert found.namespace == "ml"
    info = found.connection_info()
    assert info.ca_path == str(tmp_path / "pki/ca.crt")
    assert info.certificate_path == str(tmp_path / "pki/me.crt")
    assert info.private_key_path == "/keys/me.key"
    assert found.headers() == {}


def test_certificates_inside_the_kubeconfig_win_over_files(tmp_path: Path) -> None:
    data = base64.b64encode(b"-----BEGIN X").decode()
    user = {
        "client-certificate-data": data,
        "client-certificate": "me.crt",
        "client-key-data": data,
    }
    info = loaded(tmp_path, config(user, **{"certificate-authority-data": data})).connection_info()
    assert (info.ca_data, info.certificate_data, info.private_key_data) == (data, data, data)
    assert (info.ca_path, info.certificate_path) == (None, None)


def test_a_token_is_shown_to_the_server_by_our_client_and_by_kopf(tmp_path: Path) -> None:
    found = loaded(tmp_path, config({"token": "abc"}))
    assert found.headers() == {"Authorization": "Bearer abc"}
    assert found.connection_info().as_http_headers() == {"Authorization": "Bearer abc"}


def test_a_token_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    found = loaded(tmp_path, config({"tokenFile": "token"}))
    assert found.headers() == {"Authorization": "Bearer one"}
    (tmp_path / "token").write_text("second\n")
    assert found.headers() == {"Authorization": "Bearer second"}
    assert found.connection_info().token == "second"
    (tmp_path / "token").write_text("")  # being written
    assert found.headers() == {"Authorization": "Bearer second"}


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"exec": {"command": "aws"}}, "does not run"),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({"username": "me", "password": "secret-word"}, "password"),
    ],
)
def test_other_ways_to_log_in_are_refused_with_the_way_out(
    tmp_path: Path, user: dict[str, Any], words: str
) -> None:
    with pytest.raises(CredentialsError, match=words) as caught:
        loaded(tmp_path, config(user))
    assert "use a token or a client certificate" in str(caught.value)
    assert "secret-word" not in str(caught.value)


def test_the_server_s_certificate_is_checked_unless_the_user_says_no(tmp_path: Path) -> None:
    checked = loaded(tmp_path, config({"token": "abc"})).ssl_context()
    assert isinstance(checked, ssl.SSLContext)
    assert checked.verify_mode is ssl.CERT_REQUIRED
    assert checked.check_hostname
    document = config({"token": "abc"}, **{"insecure-skip-tls-verify": True})
    unchecked = loaded(tmp_path, document).ssl_context()
    assert isinstance(unchecked, ssl.SSLContext)
    assert unchecked.verify_mode is ssl.CERT_NONE


def test_credentials_never_leave_the_machine_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="in the clear"):
        loaded(tmp_path, config({"token": "abc"}, server="http://10.0.0.1:8080"))
    found = loaded(tmp_path, config({"token": "abc"}, server="http://127.0.0.1:8080/"))
    assert found.server == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"current-context": ""}, "current-context is not set"),
        ({"current-context": "gone"}, "no entry 'gone' in contexts"),
        ({"users": []}, "no entry 'u' in users"),
        ({"clusters": [{"name": "c", "cluster": {}}]}, "is no URL"),
    ],
)
def test_a_kubeconfig_that_names_nothing_says_what_is_missing(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(CredentialsError, match=words):
        loaded(tmp_path, {**config({"token": "abc"}), **change})


@pytest.mark.parametrize("text", ["", "- a list", "{", "\x00"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(CredentialsError, match="config"):
        load({"KUBECONFIG": str(tmp_path / "config")})


def test_several_kubeconfigs_are_joined_and_the_first_word_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    whole = config({"token": "second"})
    first.write_text(yaml.safe_dump({"users": [{"name": "u", "user": {"token": "first"}}]}))
    second.write_text(yaml.safe_dump(whole))
    found = load({"KUBECONFIG": os.pathsep.join([str(first), str(second)])})
    assert found.headers() == {"Authorization": "Bearer first"}


def account(folder: Path) -> Path:
    for name, text in {"token": "pod-token\n", "namespace": "lmjob", "ca.crt": "x"}.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("host", "server"),
    [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")],
)
def test_a_pod_uses_its_service_account(tmp_path: Path, host: str, server: str) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    found = load(environ, account(tmp_path))
    assert found.server == server
    assert found.namespace == "lmjob"
    assert found.headers() == {"Authorization": "Bearer pod-token"}
    assert found.connection_info().ca_path == str(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("rotated-token\n")
    assert found.connection_info().token == "rotated-token"


def test_kubeconfig_wins_over_the_service_account(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    found = loaded(tmp_path, config({"token": "abc"}), **environ)
    assert found.server == "https://10.0.0.1:6443"


def test_without_either_the_error_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="set KUBECONFIG, or run in a pod"):
        load({}, tmp_path)
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(CredentialsError, match="automountServiceAccountToken"):
        load(environ, tmp_path)


def test_no_secret_is_ever_printed(tmp_path: Path) -> None:
    found = loaded(tmp_path, config({"token": "abc-secret", "client-key-data": "key-secret"}))
    assert "secret" not in repr(found)
