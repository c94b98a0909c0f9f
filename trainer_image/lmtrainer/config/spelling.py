"""What transformers calls the sizes of a model, in its config.json. Called by whoever makes such a
configuration (`models.build`) and by whoever reads one (`compat.models`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lmtrainer.config.architecture import ModelType

_LIKE_BERT: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size",),
    "layers": ("num_hidden_layers",),
    "heads": ("num_attention_heads",),
    "intermediate_size": ("intermediate_size",),
    "max_positions": ("max_position_embeddings",),
    "dropout": ("hidden_dropout_prob",),
    "attention_dropout": ("attention_probs_dropout_prob",),
    "layer_norm_epsilon": ("layer_norm_eps",),
    "initializer_range": ("initializer_range",),
    "activation": ("hidden_act",),
}
SPELLING: Mapping[ModelType, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "bert": _LIKE_BERT,
        "roberta": _LIKE_BERT,
        "groupbert": _LIKE_BERT,
        "gpt2": {
            "hidden_size": ("n_embd",),
            "layers": ("n_layer",),
            "heads": ("n_head",),
            "intermediate_size": ("n_inner",),
            "max_positions": ("n_positions",),
            "dropout": ("resid_pdrop", "embd_pdrop"),
            "attention_dropout": ("attn_pdrop",),
            "layer_norm_epsilon": ("layer_norm_epsilon",),
            "initializer_range": ("initializer_range",),
            "activation": ("activation_function",),
        },
    }
)
"""Field of `Architecture` -> keys that all say it."""
