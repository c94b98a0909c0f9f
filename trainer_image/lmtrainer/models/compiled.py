"""The dense parts of a model as compiled kernels: matrix product, activation, dropout, residual and
norm in one. Off unless a run asks for it: worth it on GPUs, where small steps wait for launches.

Attention is left out, for its lengths change with every row and each would be compiled anew; what
is compiled sees tensors of any length, so all layers and all steps share a few kernels. torch keeps
them in the folder that TORCHINDUCTOR_CACHE_DIR names, if it does.
"""

from __future__ import annotations

from torch import nn

PARTS = frozenset(
    {
        "BertIntermediate",
        "BertOutput",
        "BertSelfOutput",
        "BertPredictionHeadTransform",
        "RobertaIntermediate",
        "RobertaOutput",
        "RobertaSelfOutput",
        "FeedForward",
        "GPT2MLP",
    }
)
"""Classes of modules that get tensors and give one."""


def compile_parts(model: nn.Module) -> int:
    """Compile the parts of a model when they are called first, once; returns how many there are."""
    found = [module for module in model.modules() if type(module).__name__ in PARTS]
    for module in found:
        if module._compiled_call_impl is None:
            module.compile(dynamic=True)
    return len(found)
