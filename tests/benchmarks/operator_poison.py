"""Thirty specifications that nothing can be made of, each wrong in another way.

They get in under a definition without rules, as jobs do that an older definition let through.
"""

from __future__ import annotations

from typing import Any

from tests.benchmarks.operator_pods import job

_GOOD: dict[str, Any] = job("poison")["spec"]
_PHASE: dict[str, Any] = _GOOD["phases"][0]


def _with(**spec: Any) -> dict[str, Any]:
    return {**_GOOD, **spec}


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in _GOOD.items() if key != name}


def _phase(**values: Any) -> dict[str, Any]:
    return _with(phases=[{**_PHASE, **values}])


def _deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"model": found}
    return found


POISON: tuple[dict[str, Any], ...] = (
    {},
    _without("data"),
    _without("model"),
    _without("phases"),
    _without("output"),
    _with(workers={"replicas": -1}),
    _with(workers={"replicas": "three"}),
    _with(workers={"replicas": 2**40}),
    _with(workers=[1, 2, 3]),
    _with(data={"train": []}),
    _with(data={"train": [None]}),
    _with(data="pvc://corpus"),
    _with(model={"type": "no-such-model"}),
    _with(model={"type": "bert", "preset": "x" * 100_000}),
    _with(model=None),
    _with(phases=[]),
    _with(phases="main"),
    _phase(steps=0),
    _phase(steps=-(2**63)),
    _phase(steps=1.5),
    _phase(learningRate="fast"),
    _phase(name="../../etc"),
    _with(phases=[_PHASE] * 2000),
    _with(output={"to": "s3://nowhere"}),
    _with(output={"to": 7}),
    _with(pods={"resources": {"requests": {"cpu": "much"}}}),
    _with(pods={"tolerations": [{"operator": "Maybe"}]}),
    _with(nosuch={"field": True}),
    _deep(60),
    _with(terminationGracePeriodSeconds=-5, evaluate={"fill": [1, {"a": []}]}),
)
