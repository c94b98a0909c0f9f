"""Pairs of sentences: how they are drawn from the documents for the objective mlm+nsp."""

from __future__ import annotations

from dataclasses import dataclass

from lmtrainer.config.schema import setting

SHORTEST_PAIR = 5
"""Tokens of the shortest pair: three special tokens and one of each part."""


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Next sentence prediction (Devlin et al. 2018, arXiv 1810.04805)."""

    random_share: float = setting(
        0.5, "share of pairs whose second part is random", minimum=0, maximum=1
    )
    short_share: float = setting(
        0.1, "share of documents cut into shorter pairs", minimum=0, maximum=1
    )
    passes: int = setting(
        4, "times the text is paired anew; epochs take turns", minimum=1, maximum=1000
    )
