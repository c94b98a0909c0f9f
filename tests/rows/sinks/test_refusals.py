"""What a store refuses, how it stumbles, and places that are none."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.config import MistakesError, config_hash
from lmtrainer.faults import UserError
from lmtrainer.s3 import StoreError
from tests.rows.sinks import copy_results
from tests.rows.sinks.looks import (
    SMALL,
    URL,
    assert_whole,
)
from tests.rows.sinks.objectstore import Request, Server


def refusing(code: str, *methods: str) -> Callable[[Request], str | None]:
    return lambda request: code if request[0] in methods else None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            refusing("403 AccessDenied", "PUT"),
            r"is not allowed \(AccessDenied: by the test\); ",
        ),
        (
            refusing("403 AccessDenied", "GET"),
            r"is not allowed .*with the rights s3:ListBucket",
        ),
        (refusing("403 SignatureDoesNotMatch", "PUT"), r"is not allowed \(SignatureDoesNotMatch"),
        (
            refusing("400 AuthorizationHeaderMalformed", "PUT"),
            r"is refused .*check the name",
        ),
    ],
)
def test_what_the_store_refuses_is_a_mistake_of_the_users(
    rule: Any, words: str, store: Any, server: Server, output: Path
) -> None:
    server.rule = rule
    with pytest.raises(UserError, match=rf"^output\.copyTo: {URL}: {words}"):
        copy_results.copied(output, URL)


def test_missing_credentials_are_told_with_the_way_out(
    store: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    words = r"there are no credentials .*; set AWS_ACCESS_KEY_ID and .* by pods.env out of a Secret"
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match=words):
        copy_results.copied(output, URL)


def test_without_the_extra_it_is_told_how_to_get_it(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    words = r'output\.copyTo: .*s3:// needs the extra s3 .*pip install "lmtrainer\[s3\]"'
    with pytest.raises(UserError, match=words):
        copy_results.copied(output, URL)


def test_a_store_that_stumbles_is_asked_again(store: Any, server: Server, output: Path) -> None:
    failed: list[Request] = []

    def stumble(request: Request) -> str | None:
        if request in failed or request[0] not in ("PUT", "GET", "HEAD"):
            return None
        failed.append(request)
        return "503 ServiceUnavailable"

    server.rule = stumble
    copy_results.copied(output, URL)
    assert len(failed) > 10
    assert_whole(store, SMALL)


def test_a_store_that_does_not_answer_is_given_up_in_time_and_is_no_mistake_of_the_users(
    store: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match=r"the store fails after 4 tries \(EndpointConnectionErr"):
        copy_results.copied(output, URL)


@pytest.mark.parametrize("url", ["s3://b/a", "s3://my-bucket/team/run_1.2/seed=3"])
def test_where_results_may_be_copied_to(url: str) -> None:
    assert copy_results.run_of(Path("/a/b"), url).output.copy_to == url


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "s3://bucket",
            "s3://bucket/",
            "s3://bucket/a/",
            "s3://bucket//a",
            "s3://bucket/../a",
        ),
        *(
            "s3://bucket/a*",
            "s3://bucket/a b",
            "s3://Bucket/a",
            "s3:/bucket/a",
            "pvc://a/b",
            "/a/b",
        ),
        *("s3://bucket/.a", "s3://bucket/a\n", "s3://bucket/é", "s3://b/" + "a" * 900),
    ],
)
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(MistakesError, match=r"^output\.copyTo: is not s3://BUCKET/FOLDER, of let"):
        copy_results.run_of(Path("/a/b"), url)


def test_a_copy_decides_no_weights() -> None:
    run = copy_results.run_of(Path("/a/b"), URL)
    bare = dataclasses.replace(run, output=dataclasses.replace(run.output, copy_to=None))
    assert config_hash(run) == config_hash(bare)
