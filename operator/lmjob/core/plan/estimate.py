"""How much memory a process of the training group needs, from the sizes alone.

Parameters are exact for the models that the trainer builds (transformers' BertForMaskedLM,
BertForPreTraining and GPT2LMHeadModel, output projection tied to the embeddings). Training keeps,
in float32, weights (4 bytes a parameter), gradients (4) and AdamW's two moments (8).

Activations are what the forward pass saves for the backward pass. The count per token and layer,
with hidden size h and intermediate size m (after Korthikanti et al. 2022, arXiv 2205.05198, section
4; the constants are those of the trainer's own packed models, where `test_memory_estimate`
measures them with torch's saved-tensor hooks):

    float32   32 h: input, queries, keys, values, attended, its projection, and two norms, 4 bytes
              8 m:  input and output of the activation; 20 m for GPT-2, whose GELU is composed
    bfloat16  half of it for what matrix products take and give, norms stay in float32; and a copy
              of each matrix
    dropout   two masks of h: 1 byte on a GPU, as wide as the values on a CPU
    attention fused kernels keep no scores; dropout of attention on a CPU is not fused, and keeps
              12 bytes for each token, head and other token (and in bfloat16 6 h for copies)

The head runs on the positions to predict only: 16 h for the transform of BERT (GPT-2: 4 h), the
gradient of the output projection, and the scores of as many positions as are computed at once. With
gradient checkpointing only the input of each layer is kept, and one layer at a time is computed
again. Weights in a short format take 2 bytes with their gradients, the second moment 4, the first
2, or 4 beside float16. Beside all this lie the libraries and, while the embeddings' gradient is
made, its two parts, for they are also the output projection.

Processes that trained nine models and batches on a CPU had a peak of 0.85 to 1.15 times of the sum.
What is said of GPUs is derived, not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmjob.core.plan.shares import shares
from lmtrainer.config import RunConfig
from lmtrainer.config.architecture import (
    CONV_GROUP_SIZE,
    CONV_KERNEL_SIZE,
    FFN_GROUPS,
    Architecture,
)
from lmtrainer.config.phase import Phase, batch_shape
from lmtrainer.config.resolution import TOKENIZER_DEFAULTS
from lmtrainer.config.scores import scores_at_once

# Bytes per token and layer, as multiples of (h, m).
_SAVED = {
    ("bert", "fp32"): (32, 8),
    ("roberta", "fp32"): (32, 8),
    ("groupbert", "fp32"): (96, 16),
    ("gpt2", "fp32"): (32, 20),
    ("bert", "bf16"): (24, 4),
    ("roberta", "bf16"): (24, 4),
    ("groupbert", "bf16"): (64, 8),
    ("gpt2", "bf16"): (20, 10),
}
ROBERTA_POSITIONS = 2
"""Rows of RoBERTa's positions that no token has: its padding is number 1."""
_SCORES = 12
_MASKS = 2

LIBRARIES = 450 * 1024**2
"""Resident memory of Python, PyTorch and transformers in use, on a CPU; a CUDA context is alike."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes of one process; `parameters` is a count."""

    parameters: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    other: int
    """Libraries, gradients in the making, weights gathered from others and, on a CPU, the copy that
    a checkpoint is made of."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.other


def estimate(
    run: RunConfig, phase: Phase, *, world_size: int, on_gpu: bool
) -> MemoryEstimate | None:
    """Memory of a process in a phase of a resolved run, with every sequence at its full length.
    None if only the saved model knows its sizes."""
    sizes = run.model.sizes()
    if sizes is None:
        return None
    parameters = parameter_count(run)
    held = shares(run, parameters=parameters, layer=_layer_parameters(run), world_size=world_size)
    copied = 0 if on_gpu else held.copied
    tied = 2 * 4 * vocabulary_size(run) * sizes.hidden_size
    return MemoryEstimate(
        parameters=parameters,
        weights=held.weights,
        gradients=held.gradients,
        optimizer=held.moments,
        activations=_activations(run, sizes, phase, world_size=world_size, on_gpu=on_gpu),
        other=LIBRARIES + held.gathered + copied + tied,
    )


def parameter_count(run: RunConfig) -> int:
    """Trained numbers of a model from scratch, with the vocabulary as large as it was asked for."""
    sizes, vocabulary = run.model.architecture(), vocabulary_size(run)
    h = sizes.hidden_size
    norm = 2 * h
    layers = sizes.layers * _layer_parameters(run)
    shared = vocabulary * h + sizes.max_positions * h + layers + norm
    if run.model.type == "gpt2":
        return shared
    token_types, transform, output_bias = 2 * h, h * h + h + norm, vocabulary
    if run.model.type == "roberta":
        token_types = h + ROBERTA_POSITIONS * h
    if run.model.type == "groupbert":
        shared += norm  # behind the last layer
    if run.has_pairs:
        shared += (h * h + h) + (2 * h + 2)  # the pooler, and the head for pairs of sentences
    return shared + token_types + transform + output_bias


def _layer_parameters(run: RunConfig) -> int:
    sizes = run.model.architecture()
    h, m = sizes.hidden_size, sizes.intermediate_size
    if run.model.type == "groupbert":
        return _groupbert_layer(h, m)
    return 4 * (h * h + h) + (h * m + m) + (m * h + h) + 2 * 2 * h


def _groupbert_layer(h: int, m: int) -> int:
    """A convolution, attention, and two feed-forward parts."""
    norm, dense = 2 * h, h * h + h
    convolution = norm + 2 * dense + (h * CONV_GROUP_SIZE * CONV_KERNEL_SIZE + h) + norm + dense
    feed_forward = norm + (h * m + m) + (m // FFN_GROUPS * h + h) + dense
    return convolution + 2 * feed_forward + norm + 4 * dense


def vocabulary_size(run: RunConfig) -> int:
    """The size asked for; that of the family where only the saved tokenizer knows it."""
    assert run.model.type is not None
    training = run.tokenizer.train
    if training is not None and training.vocab_size is not None:
        return training.vocab_size
    return TOKENIZER_DEFAULTS[run.model.type][1]


def _activations(
    run: RunConfig, sizes: Architecture, phase: Phase, *, world_size: int, on_gpu: bool
) -> int:
    tokens = batch_shape(phase, world_size).micro * phase.sequence_length
    layer = _layer_bytes(run, sizes, phase.sequence_length, on_gpu=on_gpu)
    embeddings = (4 + (_mask_bytes(run, on_gpu=on_gpu) if sizes.dropout else 0)) * sizes.hidden_size
    layers = sizes.layers * layer
    if run.gradient_checkpointing:
        layers = sizes.layers * (2 if _short(run) else 4) * sizes.hidden_size + layer
    body = tokens * (layers + embeddings)
    return body + _head_bytes(run, sizes, tokens) + _copied_weights(run, sizes)


def _copied_weights(run: RunConfig, sizes: Architecture) -> int:
    """With bfloat16 each matrix is copied once, for forward and backward."""
    if run.precision not in ("bf16", "fp16"):
        return 0
    h, m = sizes.hidden_size, sizes.intermediate_size
    return 2 * (sizes.layers * (4 * h * h + 2 * h * m) + h * vocabulary_size(run))


def _layer_bytes(run: RunConfig, sizes: Architecture, length: int, *, on_gpu: bool) -> int:
    """Saved by one layer for one token."""
    assert run.model.type is not None
    per_h, per_m = _SAVED[run.model.type, "bf16" if _short(run) else "fp32"]
    found = per_h * sizes.hidden_size + per_m * sizes.intermediate_size
    if sizes.dropout:
        found += _MASKS * _mask_bytes(run, on_gpu=on_gpu) * sizes.hidden_size
    if sizes.attention_dropout and not on_gpu:
        found += _SCORES * sizes.heads * length
        found += 6 * sizes.hidden_size if _short(run) else 0
    return found


def _mask_bytes(run: RunConfig, *, on_gpu: bool) -> int:
    if on_gpu:
        return 1
    return 2 if _short(run) else 4


def _short(run: RunConfig) -> bool:
    """Are matrices multiplied in a format of two bytes?"""
    return run.precision != "fp32"


def _head_bytes(run: RunConfig, sizes: Architecture, tokens: int) -> int:
    """Of the positions to predict: the masked share of the tokens, or all of them."""
    masked = run.objective != "clm"
    targets = round(tokens * run.masking.share) if masked else tokens
    transform = 16 * sizes.hidden_size if masked else 4 * sizes.hidden_size
    vocabulary = vocabulary_size(run)
    at_once = scores_at_once(targets, vocabulary, run.loss_chunks)
    score = 6 if _short(run) else 4
    gradient = 4 * vocabulary * (sizes.hidden_size + 1)
    return targets * transform + gradient + at_once * vocabulary * score
