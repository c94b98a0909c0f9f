"""No value in any place of a job is refused by the API server and taken by the operator; what only
the operator refuses is listed. Nothing is stored: every request is a dry run.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmjob.api.names import PLURAL
from lmjob.api.spec import PodFields, parse_job
from lmjob.core.plan.places import local_paths
from lmtrainer.config import MistakesError
from lmtrainer.config.schema import fields
from tests.cluster.harness.api import Api, path_of
from tests.lmjob.bodies import REMOVED, changed
from tests.lmjob.every_field import EVERY_FIELD, OTHER_FIELDS
from tests.lmjob.test_crd import schema_of
from tests.lmjob.test_spec_properties import FULL, VALUES, places, replaced

pytestmark = pytest.mark.cluster


def refusal(api: Api, body: Any) -> str:
    """What the API server has against a new job; "" if nothing. Nothing is stored."""
    query = "?dryRun=All&fieldValidation=Strict"
    status, answer = api.request("POST", path_of(PLURAL, "default") + query, body)
    return answer["message"] if status >= 400 else ""


def mistakes(body: Any) -> tuple[str, ...]:
    """What the operator has against it."""
    try:
        return tuple(map(str, local_paths(parse_job(body).spec)))
    except MistakesError as fault:
        return tuple(map(str, fault.mistakes))


ROLES = ("prepare", "master", "workers", "evaluate")

NUMBERS = (
    r"model\.config\.(layerNormEpsilon|initializerRange)|"
    r"(phases\.[0-9]+\.)?optimizer\.(weightDecay|epsilon|clipNorm)"
)

# What only the operator refuses: place, value, and what the API server does instead.
ONLY_THE_OPERATOR = (
    (
        r".*\.(requests|limits|nodeSelector|matchLabels|labels|annotations)\.[^.]+(\.[a-z]+/\w+)?",
        "null",
        "drops the entry, so the operator never sees it",
    ),
    (r"data\.encoding", '""|"a b"', "knows no codecs"),
    (r"phases\.0\.batchSchedule\.0\.globalBatchSize", "1", "knows no number of processes"),
    (
        r"tokenizer\.train\.unigram\.characterCoverage",
        "0",
        "compares a whole number with the whole part of a bound",
    ),
    (NUMBERS, str(2**63), "takes larger numbers where a fraction may stand"),
)


def jobs() -> Iterator[tuple[str, Any]]:
    """(place, job): small jobs that give every field of every class, and where they do so."""
    for key, value in EVERY_FIELD["spec"].items():
        if key == "pods":
            for inner, fields_of_pods in value.items():
                yield f"pods.{inner}", changed({"spec.pods": {inner: fields_of_pods}})
        elif key not in ROLES:
            yield key, changed({f"spec.{key}": value})
    for key in ("data", "tokenizer", "model", "phases"):
        yield key, changed({f"spec.{key}": OTHER_FIELDS["spec"][key]})


def wrong(value: Any) -> tuple[Any, ...]:
    """Values of another type, out of bounds, of another form, or none at all."""
    if isinstance(value, bool):
        return ("true", 1, None, REMOVED)
    if isinstance(value, int | float):
        return (True, -1, 0, 1.5, 2**63, "a b", [value], None, REMOVED)
    if isinstance(value, str):
        return (True, 7, "", "a b", "a\0b", "x" * 5000, [value], None, REMOVED)
    if isinstance(value, list):
        return (True, "x", {}, [], [None], (value * 257)[:257], None, REMOVED)
    many = {f"key{index}": "1" for index in range(65)}
    return (True, "x", [], {}, {"nonsense": 1}, {"a b": "1"}, many, None, REMOVED)


def variants() -> Iterator[tuple[str, Any, Any]]:
    """(place, value, job): one wrong value in one place, for every place and many values."""
    for start, body in jobs():
        for path in places(body["spec"]):
            place = ".".join(map(str, path))
            if place == start or place.startswith(f"{start}."):
                for value in (*wrong(_at(body["spec"], path)), *bounds(path)):
                    yield place, value, _put(body, ("spec", *path), value)


def bounds(path: tuple[Any, ...]) -> list[int]:
    """The last numbers that are right in a place, and the first that are wrong."""
    schema = schema_of("spec")
    for step in path:
        inner = schema.get("properties", {}).get(step)
        schema = inner or schema.get("items") or schema.get("additionalProperties") or {}
    edges = [(schema.get("minimum"), -1), (schema.get("maximum"), 1)]
    return [int(edge) + beyond for edge, out in edges if edge is not None for beyond in (0, out)]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _put(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if value is not REMOVED:
        return replaced(body, path, value)
    body = copy.deepcopy(body)
    del _at(body, path[:-1])[path[-1]]
    return body


def short(value: Any) -> str:
    return "REMOVED" if value is REMOVED else json.dumps(value)[:40]


def excused(place: str, value: Any) -> bool:
    return any(
        re.fullmatch(where, place) and re.fullmatch(what, short(value))
        for where, what, _ in ONLY_THE_OPERATOR
    )


def test_the_jobs_to_be_spoiled_are_good(api):
    for _, body in jobs():
        assert mistakes(body) == ()
        assert refusal(api, body) == ""


def test_a_wrong_value_in_any_place_is_refused_by_both_or_by_neither(api):
    stricter, laxer, refused = [], [], 0
    for place, value, body in variants():
        ours, theirs = mistakes(body), refusal(api, body)
        refused += bool(theirs)
        if theirs and not ours:
            stricter.append((place, short(value), theirs))
        if ours and not theirs and not excused(place, value):
            laxer.append((place, short(value), ours))
    assert not stricter, stricter
    assert not laxer, laxer
    assert refused > 1000


@pytest.mark.parametrize("role", ROLES)
def test_the_pods_of_a_role_are_checked_like_those_of_all(role, api):
    for f in fields(PodFields):
        body = changed({f"spec.{role}.{f.key}": True})
        assert mistakes(body)
        assert f"spec.{role}.{f.key}" in refusal(api, body)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([path for path in places(FULL) if path[:1] == ("spec",)]), VALUES)
def test_the_api_server_refuses_no_job_that_the_operator_would_take(api, path, value):
    try:
        body = json.loads(json.dumps(replaced(FULL, path, value), allow_nan=False))
    except ValueError:
        return
    if not mistakes(body):
        assert refusal(api, body) == ""
