"""Steps that are shared out among phases: `steps: 100000` and `share: 0.9`, `share: 0.1`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.phase import Phase


def shared_out(total: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Whole steps of each share, `total` in all: where a share ends is rounded, not its size."""
    ends = [0, *(round(total * end) for end in accumulate(shares))]
    return tuple(end - begin for begin, end in pairwise(ends))


def share_mistakes(total: int | None, phases: Sequence[Phase]) -> Iterator[Mistake]:
    """Shares need steps to be shares of, all of them, and add up to all of those."""
    shares = [phase.share for phase in phases]
    given = [share for share in shares if share is not None]
    about = ("phases",)
    if not given:
        if total is not None:
            way_out = "give each phase a share, or remove it"
            yield Mistake("steps", str(total), "no phase has a share of them", way_out)
        return
    if total is None:
        rule, way_out = "left out, though phases have shares of them", "give them"
        yield Mistake("steps", "", rule, way_out, about=about)
        return
    if len(given) < len(shares):
        place = f"phases[{shares.index(None)}].share"
        yield Mistake(place, "", "required", "give every phase a share, or none of them one")
    elif abs(sum(given) - 1) > 1e-6:
        rule, way_out = f"the shares of all phases add up to {sum(given):g}, not 1", "change one"
        yield Mistake("phases", "", rule, way_out)
    else:
        yield from _few_steps(total, phases, given)


def _few_steps(total: int, phases: Sequence[Phase], shares: Sequence[float]) -> Iterator[Mistake]:
    for index, steps in enumerate(shared_out(total, shares)):
        phase, warmup = phases[index], phases[index].warmup_steps or 0
        if steps < 1:
            rule, way_out = f"makes no step of {total}", "raise it, or steps"
            yield Mistake(f"phases[{index}].share", f"{phase.share:g}", rule, way_out)
        elif warmup > steps:
            rule = f"is more than the {steps} steps of the share"
            way_out = "lower it or train longer"
            yield Mistake(f"phases[{index}].warmupSteps", str(warmup), rule, way_out)
