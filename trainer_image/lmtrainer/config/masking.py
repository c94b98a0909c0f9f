"""Which tokens a masked objective hides, and what stands in their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How tokens are hidden for the masked objective (Devlin et al. 2018, arXiv 1810.04805)."""

    share: float = setting(0.15, "share of the tokens to predict", above=0, maximum=0.9)
    masked: float = setting(
        0.8, "of those, the share shown as the mask token", minimum=0, maximum=1
    )
    random: float = setting(
        0.1, "of those, the share shown as a random token", minimum=0, maximum=1
    )
    whole_words: bool = setting(False, "hide words whole, never a part of one")
    max_predictions: int | Literal["auto"] | None = setting(
        None, "most of a sequence; auto: what chance seldom exceeds", minimum=1
    )

    def mistakes(self) -> Iterator[Mistake]:
        if self.masked + self.random > 1:
            total = f"{self.masked + self.random:g}"
            rule = f"masked + random is {total}, above 1"
            yield Mistake("random", f"{self.random:g}", rule, "lower one", about=("masked",))
