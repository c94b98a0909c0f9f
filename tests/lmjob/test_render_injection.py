"""Whatever a user writes, it becomes a text in its place and nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmjob.api.names import uid_hash
from lmjob.core.plan import StagePlan
from lmjob.render import ShapeError, config_map, pod, service, template
from lmjob.render.literal import is_literal, literal
from tests.lmjob.hostile import TEXTS, plan_of

NEUTRAL = "neutral"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:40])
def test_a_hostile_text_changes_no_structure(text):
    check(text)


@settings(max_examples=60)
@given(st.text(min_size=1))
def test_no_text_changes_the_structure(text):
    check(text)


def check(text: str) -> None:
    """With `text` in all places of a user, the objects of a job are those of a neutral job with the
    text in these places."""
    hashes = uid_hash(NEUTRAL), uid_hash(text)
    for found, neutral in zip(objects(text), objects(NEUTRAL), strict=True):
        assert found == replaced(neutral, text, hashes)


def objects(text: str) -> Iterator[dict[str, Any]]:
    plan = plan_of(text)
    made = config_map(plan)
    # A text within JSON within JSON: it is compared as what it is.
    made["data"] = {name: json.loads(value) for name, value in made["data"].items()}
    yield made
    yield service(plan)
    for stage in plan.stages:
        for replica in stage.replicas:
            yield pod(plan, stage.name, replica, 1, master_ip="192.0.2.1")


def replaced(value: Any, text: str, hashes: tuple[str, str]) -> Any:
    if isinstance(value, list):
        return [replaced(item, text, hashes) for item in value]
    if isinstance(value, dict) and value.keys() == {"name", "value"}:
        name, content = (put(value[key], text, hashes) for key in ("name", "value"))
        return {"name": name, "value": literal(content)}
    if isinstance(value, dict):
        pairs = value.items()
        return {put(key, text, hashes): replaced(item, text, hashes) for key, item in pairs}
    return put(value, text, hashes) if isinstance(value, str) else value


def put(value: str, text: str, hashes: tuple[str, str]) -> str:
    """Names of objects have the hash of the uid in them."""
    if value.startswith("pvc://"):
        text = text.replace("..", "")
    return value.replace(hashes[0], hashes[1]).replace(NEUTRAL, text)


def kubelet(text: str, variables: Mapping[str, str]) -> str:
    """What the kubelet makes of a value: `$$` is a dollar, `$(NAME)` the variable's value (if it
    is known, else it stays), and any other dollar itself."""
    pattern = r"\$(\$|\((?P<name>[^)]*)\))"
    return re.sub(
        pattern,
        lambda m: "$" if m["name"] is None else variables.get(m["name"], m[0]),
        text,
        flags=re.DOTALL,
    )


@given(st.text(st.sampled_from("$()A {}")))
def test_the_kubelet_gives_every_text_back_as_it_was_written(text):
    known = {name: "leaked" for name in ("", "A", "AA", " ", "$", "$A", "(", "A$")}
    assert kubelet(literal(text), known) == text
    assert is_literal(literal(text))


@given(st.text(st.sampled_from("$()A")))
def test_only_a_text_without_variables_counts_as_literal(text):
    expanded = kubelet(text, {"A": "leaked", "AA": "leaked"})
    assert not (is_literal(text) and "leaked" in expanded)


def test_a_variable_that_looks_like_a_reference_reaches_the_process_as_written():
    (master,) = (r for r in plan_of("x").stage("train").replicas if r.role == "master")
    master = dataclasses.replace(master, env={"TOKEN": "$(HF_TOKEN)", "B": "$$(HF_TOKEN) $5"})
    plan = dataclasses.replace(plan_of("x"), stages=(StagePlan(name="train", replicas=(master,)),))
    (container,) = pod(plan, "train", master, 1, master_ip=None)["spec"]["containers"]
    told = {v["name"]: kubelet(v["value"], {"HF_TOKEN": "secret"}) for v in container["env"]}
    assert (told["TOKEN"], told["B"]) == ("$(HF_TOKEN)", "$$(HF_TOKEN) $5")


@pytest.fixture
def careless(monkeypatch):
    """Templates that put an image between quotes and think no more of it."""

    def use(image: str) -> None:
        def naive(value: Any) -> str:
            return f'"{value}"' if value == image else json.dumps(value)

        environment = template._environment().overlay(finalize=naive)
        monkeypatch.setattr(template, "_environment", lambda: environment)

    template._skeleton.cache_clear()
    yield use
    template._skeleton.cache_clear()


@pytest.mark.parametrize(
    "image",
    [
        'x", "securityContext": {"privileged": true}, "workingDir": "y',
        'x", "image": "y',
        "\\u0041",
        'x"',
    ],
)
def test_the_shape_is_proven_even_where_a_template_does_not_escape(careless, image):
    plan = dataclasses.replace(plan_of("x"), image=image)
    careless(image)
    with pytest.raises(ShapeError, match=r"pod\.json\.j2"):
        pod(plan, "prepare", plan.stages[0].leader, 1, master_ip=None)


def test_a_template_cannot_forget_a_value():
    with pytest.raises(jinja2.UndefinedError, match="namespace"):
        template.render("service.json.j2", {"name": "x"})
