"""Whatever a document holds, the door answers with a job or with mistakes, never with a crash."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lmjob.api.spec import JobSpec, parse_job
from lmjob.core.plan import Facts, plan_job
from lmtrainer.config import MistakesError, document, parse
from tests.lmjob.bodies import GOOD, changed

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["auto", "bert", "gpt2", "pvc://a/b", "16Gi", "../x", "a\0b", 10**400, 1e300])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [path, *(p for key, item in items for p in places(item, (*path, key)))]


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    body = copy.deepcopy(body)
    place = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return body


FULL = changed(
    {
        "spec.processesPerNode": 1,
        "spec.tokenizer": {"train": {"type": "wordpiece", "vocabSize": 1000}},
        "spec.model.config": {"layers": 3, "hiddenSize": 96, "heads": 4, "maxPositions": 256},
        "spec.evaluate": {"fill": ["a [MASK]"], "resources": {"limits": {"nvidia.com/gpu": 1}}},
        "spec.workers.tolerations": [{"key": "a", "operator": "Exists"}],
        "spec.masking": {"share": 0.2},
    }
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_random_documents_are_refused_with_mistakes(body):
    try:
        parse_job(body)
    except MistakesError as fault:
        assert all("\n" not in str(mistake) for mistake in fault.mistakes)
    else:
        raise AssertionError("a random document was taken for a job")


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(places(FULL)), VALUES)
def test_a_job_with_a_random_value_anywhere_is_read_or_refused_and_what_is_read_can_be_planned(
    path, value
):
    body = replaced(FULL, path, value)
    try:
        job = parse_job(body)
    except MistakesError as fault:
        assert fault.mistakes
        assert len(str(fault)) < 2000 * len(fault.mistakes)
        return
    plan = plan_job(job, uid="u", facts=Facts())
    assert len(plan.plan_hash) == 64
    json.dumps(document(plan), allow_nan=False)
    assert parse(JobSpec, document(job.spec)) == job.spec


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_survives_byte_for_byte_or_is_refused(text):
    changes = {
        "spec.pods.env[0].value": text,
        "spec.pods.annotations": {"note": text},
        "spec.evaluate": {"fill": [f"{text}[MASK]"]},
    }
    try:
        spec = parse_job(changed(changes)).spec
    except MistakesError as fault:
        assert all("control characters" in mistake.rule for mistake in fault.mistakes)
        return
    again = parse(JobSpec, json.loads(json.dumps(document(spec))))
    assert again.pods.env[0].value == text
    assert again.pods.annotations["note"] == text
    assert again.evaluate.fill == (f"{text}[MASK]",)


def test_the_good_job_is_left_as_it_was():
    before = copy.deepcopy(GOOD)
    parse_job(GOOD)
    assert before == GOOD
