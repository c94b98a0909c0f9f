"""The sizes of a GroupBERT: BERT's, and those of its groups and convolutions."""

from __future__ import annotations

from transformers import BertConfig

from lmtrainer.config.architecture import (
    CONV_GROUP_SIZE,
    CONV_KERNEL_SIZE,
    FFN_GROUPS,
)


class GroupBertConfig(BertConfig):  # type: ignore[misc]
    """`ffn_groups`: groups of the projection back from the feed-forward width. `conv_group_size`:
    channels that a convolution mixes. `conv_kernel_size`: positions that it sees, an odd number."""

    model_type = "groupbert"

    ffn_groups: int = FFN_GROUPS
    conv_group_size: int = CONV_GROUP_SIZE
    conv_kernel_size: int = CONV_KERNEL_SIZE
