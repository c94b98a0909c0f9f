"""A copy in a store is whole, of one run, and sent once."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.faults import FencedError, UserError
from lmtrainer.output import claim
from lmtrainer.output.copy import copy
from lmtrainer.output.identity import identity_of, identity_text
from lmtrainer.output.reservation import reserve
from lmtrainer.output.selection import results_in
from tests.rows.sinks import copy_results
from tests.rows.sinks.looks import (
    BUCKET,
    MANIFEST,
    PREFIX,
    RUN,
    SMALL,
    URL,
    WEIGHTS,
    assert_whole,
    body,
    keys,
)
from tests.rows.sinks.objectstore import Request, Server

LARGE = 20 << 20
"""Bytes of weights that are sent in three parts."""


@pytest.mark.parametrize("held", [f"{PREFIX}loss.png", f"{PREFIX}{WEIGHTS}"])
def test_a_copy_that_was_killed_goes_on_and_sends_nothing_twice(
    held: str, store: Any, server: Server, output: Path
) -> None:
    """The one file is held back in the middle of all of them, the other in the middle of itself."""
    (output / WEIGHTS).write_bytes(os.urandom(LARGE))
    came, go_on = threading.Event(), threading.Event()
    parts = []

    def hold(request: Request) -> str | None:
        if request == ("PUT", held):
            parts.append(request)
            if held.endswith(".png") or len(parts) == 2:
                came.set()
                go_on.wait(30)
                return "500 InternalError"
        return None

    server.rule = hold
    command = [sys.executable, copy_results.__file__, str(output), URL]
    with subprocess.Popen(command) as process:
        assert came.wait(30)
        process.kill()
    go_on.set()
    server.rule = lambda request: None
    assert MANIFEST not in keys(store)
    before = set(keys(store))
    assert PREFIX + "evaluation.json" in before
    assert held not in before
    half_sent = "Uploads" in store.list_multipart_uploads(Bucket=BUCKET)
    assert half_sent == held.endswith(WEIGHTS)
    server.sent()
    done = copy_results.copied(output, URL)
    sent = server.sent()
    assert not set(sent) & before
    assert set(sent) == {PREFIX + name for name in (*SMALL, "manifest.json")} - before
    assert done.sent == len(set(sent)) - 1
    assert_whole(store, SMALL)
    assert "Uploads" not in store.list_multipart_uploads(Bucket=BUCKET)


@pytest.mark.slow
def test_large_weights_never_lie_in_memory(store: Any, output: Path) -> None:
    """The libraries and small files take some 80 MiB, four parts 32."""
    size = 200 << 20
    with (output / WEIGHTS).open("wb") as file:
        file.truncate(size)
    command = [sys.executable, copy_results.__file__, str(output), URL]
    grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(grown.split()[-1]) < 160 << 20
    assert json.loads(body(store, MANIFEST))["files"][WEIGHTS]["size"] == size


def test_what_rotted_in_the_store_is_found_and_sent_again(
    store: Any, server: Server, output: Path
) -> None:
    copy_results.copied(output, URL)
    content = bytearray(body(store, PREFIX + WEIGHTS))
    content[len(content) // 2] ^= 1
    facts = store.head_object(Bucket=BUCKET, Key=PREFIX + WEIGHTS)["Metadata"]
    store.put_object(Bucket=BUCKET, Key=PREFIX + WEIGHTS, Body=bytes(content), Metadata=facts)
    store.delete_object(Bucket=BUCKET, Key=MANIFEST)
    server.sent()
    copy_results.copied(output, URL)
    assert set(server.sent()) == {PREFIX + WEIGHTS, MANIFEST}
    assert_whole(store, SMALL)


def test_a_reader_never_finds_a_manifest_beside_other_files(
    store: Any, server: Server, output: Path
) -> None:
    (output / "model/old.json").write_text("{}")
    copy_results.copied(output, URL)
    store.put_object(Bucket=BUCKET, Key=f"{PREFIX}notes.txt", Body=b"mine")
    (output / "model/old.json").unlink()
    (output / "evaluation.json").write_text('{"perplexity": 2}')
    seen = []

    def look(request: Request) -> None:
        if request[0] in ("PUT", "DELETE") and request[1] not in (MANIFEST, RUN):
            seen.append((request, MANIFEST in keys(store)))

    server.rule = look
    copy_results.copied(output, URL)
    server.rule = lambda request: None
    assert seen == [
        (("DELETE", f"{PREFIX}model/old.json"), False),
        (("PUT", f"{PREFIX}evaluation.json"), False),
    ]
    assert_whole(store, SMALL)
    assert f"{PREFIX}notes.txt" in keys(store)
    assert f"{PREFIX}model/old.json" not in keys(store)


def test_results_of_another_run_are_not_touched(store: Any, server: Server, output: Path) -> None:
    copy_results.copied(output, URL)
    server.sent()
    other = copy_results.run_of(output, URL, seed=2)
    with pytest.raises(UserError, match=r"holds another run .*: seed is 1 there, 2 here; choose"):
        reserve(URL, other, "job-b", 1)
    never = dataclasses.replace(
        other, checkpoint=dataclasses.replace(other.checkpoint, resume="never")
    )
    assert reserve(URL, never, "job-b-uid", 1).url == f"{URL}-job-b-ui"
    assert reserve(URL, never, "job-b-uid", 2).url == f"{URL}-job-b-ui"
    assert [key for key in server.sent() if key.startswith(PREFIX)] == []


def test_objects_that_no_run_made_are_not_mixed_with_results(store: Any, output: Path) -> None:
    store.put_object(Bucket=BUCKET, Key=f"{PREFIX}notes.txt", Body=b"mine")
    with pytest.raises(UserError, match=r"no run is known to have made, first: notes.txt; give an"):
        copy_results.copied(output, URL)
    assert keys(store) == [f"{PREFIX}notes.txt"]


def test_a_folder_that_a_tool_made_of_the_prefix_is_an_empty_one(store: Any, output: Path) -> None:
    store.put_object(Bucket=BUCKET, Key=PREFIX, Body=b"")
    copy_results.copied(output, URL)
    assert_whole(store, SMALL)


def test_another_job_of_the_same_configuration_goes_on_with_the_copy(
    store: Any, server: Server, output: Path
) -> None:
    copy_results.copied(output, URL)
    server.sent()
    run = copy_results.run_of(output, URL)
    with claim(output, run, "job-b", 1) as mine:
        folder = reserve(URL, run, "job-b", 1)
        assert server.sent() == [RUN]
        files = results_in(output, copy_results.NAMES)
        copy(mine, files, folder, run, names=copy_results.NAMES, tell=lambda done, total: None)
        assert server.sent() == []


def test_who_lost_the_prefix_meanwhile_does_not_finish(store: Any, output: Path) -> None:
    run = copy_results.run_of(output, URL)

    theirs = identity_text(identity_of(run, "job-b", 1)).encode()

    def taken(done: int, total: int) -> None:
        store.put_object(Bucket=BUCKET, Key=RUN, Body=theirs)

    with claim(output, run, "job-a", 1) as mine:
        folder = reserve(URL, run, "job-a", 1)
        with pytest.raises(FencedError, match="belongs to job job-b now"):
            copy(mine, results_in(output, ("loss.png",)), folder, run, tell=taken)
    assert MANIFEST not in keys(store)
