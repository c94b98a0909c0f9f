"""What is measured and shown of a trained model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.schema import setting

MASK = "[MASK]"
"""In a sentence: where the model shall put a word, whatever its own mask is called."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured on the held-out text, and when."""

    every_steps: int | None = setting(
        None, "evaluate each so many steps; left out, only at the end", minimum=1
    )
    only_mlm: bool = setting(False, "of mlm+nsp measure the masked tokens alone")
    fill: tuple[str, ...] = setting(
        tuple, f"sentences with {MASK} that the trained model fills in", max_items=100
    )

    def mistakes(self) -> Iterator[Mistake]:
        for index, text in enumerate(self.fill):
            if MASK not in text:
                way_out = f"write {MASK} where the model shall put a word"
                yield Mistake(f"fill[{index}]", show(text), f"has no {MASK} to fill in", way_out)
