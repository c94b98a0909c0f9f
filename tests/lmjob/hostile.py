"""Texts that try to become structure, and jobs that have them in every place where a user writes.

The plans are made past the rules of the specification: what is rendered must be safe by itself.
"""

from __future__ import annotations

from typing import Any

from lmjob.api.spec import PodSettings
from lmjob.core.plan import JobPlan
from lmjob.core.plan.shapes import JobIdentity, ReplicaPlan, StagePlan
from lmtrainer.config import ResolvedRun, parse

PRIVILEGED = "securityContext: {privileged: true}"

TEXTS = (
    f'x"]\n  {PRIVILEGED}',
    f"x\n{PRIVILEGED}",
    f"x\r\n  {PRIVILEGED}",
    f"'\n{PRIVILEGED}\n'",
    '", "privileged": true, "x": "',
    '"}], "hostNetwork": true, "x": [{"y": "',
    "\\",
    '\\"',
    '\\", "privileged": "true',
    "\\u0022, \\u0041",
    "{{7*7}}",
    "{{ owner }}",
    "{% for x in [1, 2] %}{{ x }}{% endfor %}",
    "{# gone #}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% raw %}",
    "${HOME}",
    "$(HF_TOKEN)",
    "$$(HF_TOKEN)",
    "$$$(HF_TOKEN)",
    "$",
    "$$",
    "`id`; id | id && id > /tmp/x",
    "../../etc/passwd",
    "null",
    "~",
    "true",
    "no",
    "1e3",
    "0x10",
    "1_000",
    "2026-11-21",
    "- a\n- b",
    "{a: b}",
    "[a]",
    "&a b",
    "*a",
    "!!python/object/apply:os.system [id]",
    "<<",
    "# a comment",
    "a: b",
    "a #b",
    "%TAG ! x",
    "---",
    "...",
    "@a",
    " a ",
    "\t",
    "\x00",
    "\x7f",
    "\x85",
    "\u2028\u2029",
    "\ufeff",
    "\ufffe\uffff",
    "\ue000name",
    "😀",
    "é e\u0301",
    "\u202eevil",
    "x" * 4096,
)


def plan_of(text: str, number: int = 1) -> JobPlan:
    """A plan with `text` in every place that holds a user's text, and two workers."""
    return JobPlan(
        job=JobIdentity(name=text, namespace=text, uid=text),
        image=text,
        run=_run(text),
        stages=(
            StagePlan(name="prepare", replicas=(_replica("prepare", text),)),
            StagePlan(
                name="train",
                replicas=(
                    _replica("master", text),
                    _replica("worker", text, 0, 1),
                    _replica("worker", text, 1, 2),
                ),
            ),
            StagePlan(name="evaluate", replicas=(_replica("evaluate", text),)),
        ),
        pods=dict.fromkeys(("prepare", "master", "worker", "evaluate"), _settings(text, number)),
        startup_seconds=float(number),
        max_restarts=number,
        grace_seconds=float(number),
    )


def _replica(role: Any, text: str, index: int = 0, node_rank: int = 0) -> ReplicaPlan:
    env = {f"own.{text}": text}
    return ReplicaPlan(role=role, index=index, node_rank=node_rank, processes=1, env=env)


def _run(text: str) -> ResolvedRun:
    run = parse(
        ResolvedRun,
        {
            "data": {"train": ["pvc://corpus/x"], "cache": "pvc://cache/x"},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [{"name": "main", "steps": 3}],
            "output": {"to": "pvc://results/x"},
            "configHash": "c0ffee",
        },
    )
    path = text.replace("..", "")  # a way out of the volume is no location at all
    data = _with(run.data, train=(f"pvc://corpus/{path}",), cache=f"pvc://cache/{path}")
    return _with(
        run,
        data=data,
        output=_with(run.output, to=f"pvc://results/{path}"),
        evaluate=_with(run.evaluate, fill=(text,)),
        phases=(_with(run.phases[0], name=text),),
    )


def _settings(text: str, number: int) -> PodSettings:
    term = {"topologyKey": text, "labelSelector": {"matchLabels": {text: text}}}
    requirement = {"key": text, "operator": "In", "values": [text]}
    shapes = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [requirement]}]
            }
        },
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": number, "podAffinityTerm": term}
            ]
        },
    }
    return _Unchecked(
        resources={"requests": {text: text}, "limits": {text: text}},
        shared_memory=text,
        image_pull_secrets=({"name": text},),
        node_selector={text: text},
        tolerations=({"key": text, "operator": "Equal", "value": text, "effect": text},),
        affinity=shapes,
        labels={f"own.{text}": text},
        annotations={f"own.{text}": text},
        priority_class_name=text,
        runtime_class_name=text,
    )


class _Unchecked(PodSettings):
    """Settings whose parts are documents already: the renderer prints them by `document`."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _with(value: Any, **changes: Any) -> Any:
    """A copy with other values, of which nothing is checked."""
    made = object.__new__(type(value))
    for name in value.__dataclass_fields__:
        object.__setattr__(made, name, changes.get(name, getattr(value, name)))
    return made
