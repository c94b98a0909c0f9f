"""The judge: what must hold at every revision of a store, whatever broke on the way.

Pure. Called by tests with the history of their namespaces.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.cluster.harness.history import Change, Object, State, World, replay
from tests.cluster.harness.rules import ORPHAN_SECONDS, RULES, ended_at


@dataclass(frozen=True)
class Violation:
    """A broken rule: when, by which object, and the two states around the revision."""

    rule: str
    seed: str
    revision: int
    object: str
    text: str
    before: Object | None
    after: Object | None

    def __str__(self) -> str:
        states = "".join(
            f"\n    {word}: {json.dumps(_short(state))}"
            for word, state in (("before", self.before), ("after", self.after))
        )
        return (
            f"{self.rule} [{self.seed}] revision {self.revision} {self.object}: {self.text}{states}"
        )


def judge(history: Iterable[State], *, seed: str = "", now: float | None = None) -> list[Violation]:
    """Every broken rule, in the order of revisions. `now`, on the clock of the states, is when the
    history ends; None: with its last state."""
    found: list[Violation] = []
    world, last = World(), 0.0
    for world, change in replay(history):
        last = change.state.at
        for name, rule in RULES:
            found += [_violation(name, seed, change, text) for text in rule(world, change)]
    found += _left_over(world, seed, last if now is None else now)
    return found


def _left_over(world: World, seed: str, now: float) -> Iterator[Violation]:
    """I8 for what is still there at the end."""
    for key, item in world.objects.items():
        ended = ended_at(world, item, key[0])
        if ended is not None and now - ended > ORPHAN_SECONDS:
            text = f"is still there {now - ended:.1f} s after its job"
            yield Violation("I8", seed, 0, "/".join(key), text, item, item)


def _short(state: Object | None) -> Any:
    """Without what nobody reads."""
    if state is None:
        return None
    meta = {k: v for k, v in state.get("metadata", {}).items() if k != "managedFields"}
    kept = {k: v for k, v in state.items() if k in ("kind", "status")}
    return {**kept, "metadata": meta}


def _violation(rule: str, seed: str, change: Change, text: str) -> Violation:
    where = "/".join(change.state.key)
    return Violation(rule, seed, change.state.revision, where, text, change.before, change.after)
