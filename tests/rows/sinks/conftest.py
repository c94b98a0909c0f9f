"""A server that speaks S3, an empty bucket in it, and results to copy there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lmtrainer.output.identity import identity_of, write_identity
from lmtrainer.s3 import asking
from tests.rows.sinks import copy_results
from tests.rows.sinks.looks import (
    BUCKET,
    URL,
    WEIGHTS,
    keys,
)
from tests.rows.sinks.objectstore import ENVIRONMENT, Server, serving

SIZE = 100_000
"""Bytes of weights."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of an empty bucket, with credentials and endpoint in the usual places."""
    environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url, "HOME": str(tmp_path / "home")}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(asking, "WAITS", (0.0,) * len(asking.WAITS))
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    server.requests.clear()
    yield client
    server.rule = lambda request: None
    for key in keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output folder with little in it."""
    folder = tmp_path / "out"
    (folder / "model").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / WEIGHTS).write_bytes(os.urandom(SIZE))
    (folder / "model/config.json").write_text("{}")
    (folder / "checkpoints/state").write_text("large")
    (folder / "evaluation.json").write_text('{"perplexity": 1}')
    (folder / "loss.png").write_bytes(b"png")
    write_identity(folder, identity_of(copy_results.run_of(folder, URL), copy_results.JOB, 1))
    return folder
