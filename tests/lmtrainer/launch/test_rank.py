"""What happens in a rank's process before its stage begins."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from lmtrainer.launch import rank

COLLECTS = """
import gc
from lmtrainer.faults import UserError
def run(context):
    raise UserError(f"collects: {gc.isenabled()}, frozen: {gc.get_freeze_count() > 1000}")
"""


@pytest.fixture
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("fault", [None, ImportError("no such library")])
def test_the_collector_rests_while_a_stage_is_loaded_and_only_then(
    monkeypatch: pytest.MonkeyPatch, thawed: None, fault: Exception | None
) -> None:
    seen = []

    def imported(name: str) -> ModuleType:
        seen.append((name, gc.isenabled(), gc.get_freeze_count()))
        if fault is not None:
            raise fault
        return ModuleType(name)

    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", imported)
        try:
            found: object = rank._load("train").__name__
        except ImportError as raised:
            found = raised
    assert seen == [("lmtrainer.stages.train", False, 0)]
    assert found == (fault or "lmtrainer.stages.train")
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000, "what was loaded stays, and is not looked at again"


def test_a_real_rank_collects_and_leaves_alone_what_was_loaded(start_node: Any) -> None:
    word = start_node(COLLECTS, as_stage=True).end()
    assert word.failure.message == "rank 0: UserError: collects: True, frozen: True"
