"""The sizes of models: named ones of each family, and changes to them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from lmtrainer.config.schema import setting

ModelType = Literal["bert", "roberta", "groupbert", "gpt2"]
Activation = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"]

CONV_GROUP_SIZE, CONV_KERNEL_SIZE, FFN_GROUPS = 16, 7, 4
"""Of GroupBERT: channels and positions that a convolution mixes, groups of the way back from the
inner width."""

MAX_WIDTH = 131_072
"""Widest model: eight times the widest that has been published."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes of a model, in the words of every family."""

    layers: int
    hidden_size: int
    heads: int
    intermediate_size: int
    max_positions: int
    dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_epsilon: float = 1e-12
    initializer_range: float = 0.02
    activation: Activation | None = None
    """None: the family's own, gelu_new of gpt2 and gelu of the others."""


KEPT_BY_NO_WEIGHT = ("dropout", "attention_dropout", "layer_norm_epsilon", "activation")
"""Changes that fit any weights: how a model computes, not what it holds."""


@dataclass(frozen=True, kw_only=True)
class ArchitectureChanges:
    """Changes to a preset; what is left out stays as the preset has it."""

    layers: int | None = setting(None, "transformer layers", minimum=1, maximum=1000)
    hidden_size: int | None = setting(
        None, "width of the hidden states", minimum=1, maximum=MAX_WIDTH
    )
    heads: int | None = setting(
        None, "attention heads; must divide hiddenSize", minimum=1, maximum=MAX_WIDTH
    )
    intermediate_size: int | None = setting(
        None,
        "width of the feed-forward part; left out, 4 x hiddenSize if hiddenSize is changed",
        minimum=1,
        maximum=4 * MAX_WIDTH,
    )
    max_positions: int | None = setting(
        None, "longest sequence the model can read", minimum=4, maximum=1_048_576
    )
    dropout: float | None = setting(None, "dropout of hidden states", minimum=0, below=1)
    attention_dropout: float | None = setting(None, "dropout of attention", minimum=0, below=1)
    layer_norm_epsilon: float | None = setting(None, "epsilon of the layer norms", above=0)
    initializer_range: float | None = setting(None, "standard deviation at the start", above=0)
    activation: Activation | None = setting(
        None, "of the feed-forward part; left out, the family's"
    )

    def sizes(self) -> dict[str, object]:
        """What is given of the changes that a saved model cannot take."""
        names = [f.name for f in dataclasses.fields(self) if f.name not in KEPT_BY_NO_WEIGHT]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def habits(self) -> dict[str, object]:
        """What is given of the changes that any model can take, a saved one as well."""
        found = {name: getattr(self, name) for name in KEPT_BY_NO_WEIGHT}
        return {name: value for name, value in found.items() if value is not None}


def _bert(
    layers: int, hidden: int, heads: int, *, positions: int = 512, epsilon: float = 1e-12
) -> Architecture:
    return Architecture(
        layers=layers,
        hidden_size=hidden,
        heads=heads,
        intermediate_size=4 * hidden,
        max_positions=positions,
        layer_norm_epsilon=epsilon,
    )


_roberta = functools.partial(_bert, epsilon=1e-5)
_gpt2 = functools.partial(_bert, positions=1024, epsilon=1e-5)


# Sizes: BERT miniatures of Turc et al. 2019 (arXiv 1908.08962) and BERT's own two; GPT-2's four of
# Radford et al. 2019, RoBERTa's two of Liu et al. 2019 (arXiv 1907.11692); tiny ones for tests.
PRESETS: Mapping[ModelType, Mapping[str, Architecture]] = MappingProxyType(
    {
        "bert": {
            "tiny": _bert(2, 128, 2),
            "mini": _bert(4, 256, 4),
            "small": _bert(4, 512, 8),
            "medium": _bert(8, 512, 8),
            "base": _bert(12, 768, 12),
            "large": _bert(24, 1024, 16),
        },
        "roberta": {
            "tiny": _roberta(2, 128, 2),
            "base": _roberta(12, 768, 12),
            "large": _roberta(24, 1024, 16),
        },
        "groupbert": {
            "tiny": _bert(2, 128, 2),
            "base": _bert(12, 768, 12),
            "large": _bert(24, 1024, 16),
        },
        "gpt2": {
            "tiny": _gpt2(2, 128, 2),
            "small": _gpt2(12, 768, 12),
            "medium": _gpt2(24, 1024, 16),
            "large": _gpt2(36, 1280, 20),
            "xl": _gpt2(48, 1600, 25),
        },
    }
)

DEFAULT_PRESET: Mapping[ModelType, str] = MappingProxyType(
    {"bert": "base", "roberta": "base", "groupbert": "base", "gpt2": "small"}
)
"""The size of a model from scratch that names none: the first that was published."""
