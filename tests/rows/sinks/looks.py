"""What lies in the store, and where."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.rows.sinks.objectstore import BUCKET

URL = f"s3://{BUCKET}/team/mine"
PREFIX = "team/mine/"
MANIFEST = f"{PREFIX}manifest.json"
RUN = f"{PREFIX}run.json"
WEIGHTS = "model/model.safetensors"


SMALL = {WEIGHTS, "model/config.json", "evaluation.json", "loss.png"}


def keys(store: Any) -> list[str]:
    found = store.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [item["Key"] for item in found]


def body(store: Any, key: str) -> bytes:
    content: bytes = store.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return content


def assert_whole(store: Any, names: set[str]) -> None:
    """The manifest names these files, and they are what it says."""
    files = json.loads(body(store, MANIFEST))["files"]
    assert set(files) == names
    for name, fact in files.items():
        content = body(store, PREFIX + name)
        assert len(content) == fact["size"]
        assert hashlib.sha256(content).hexdigest() == fact["sha256"], name
