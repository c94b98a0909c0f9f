"""The state of an optimizer as named tensors, as a checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lmtrainer.optim.short import moment_formats


def state_tensors(optimizer: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state by parameter name: NAME.exp_avg, NAME.exp_avg_sq. The number of updates
    is the step of the phase and needs no tensor."""
    return {
        f"{name}.{moment}": optimizer.state[parameter][moment]
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
        for moment in moment_formats(parameter)
    }


def restore(
    optimizer: Optimizer,
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    steps: int,
    only: Collection[nn.Parameter] | None = None,
) -> None:
    """Put back what `state_tensors` gave after `steps` updates, of all parameters or of some.
    KeyError if a tensor is missing."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or (only is not None and parameter not in only):
            continue
        state = optimizer.state[parameter]
        # torch's fused kernels read it on the device; everybody else reads it on the host.
        place = parameter.device if optimizer.defaults.get("fused") else None
        state["step"] = torch.tensor(float(steps), device=place)
        for moment, kind in moment_formats(parameter).items():
            saved = tensors[f"{name}.{moment}"]
            state[moment] = saved.to(parameter.device, kind, copy=True)
