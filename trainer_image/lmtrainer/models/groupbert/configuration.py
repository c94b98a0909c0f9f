"""The sizes of a GroupBERT: BERT's, and those of its groups and convolutions."""

from __future__ import annotations

from transformers import BertConfig


class GroupBertConfig(BertConfig):  # type: ignore[misc]
    """`ffn_groups`: groups of the projection back from the feed-forward width. `conv_group_size`:
    channels that a convolution mixes. `conv_kernel_size`: positions that it sees, an odd number."""

    model_type = "groupbert"

    ffn_groups: int = 4
    conv_group_size: int = 16
    conv_kernel_size: int = 7
