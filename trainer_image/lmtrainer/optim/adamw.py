"""AdamW with decay groups (arXiv 1711.05101), its state as named tensors, and the scaled, clipped
step that the trainer takes with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from lmtrainer.config.run import OptimizerConfig

MOMENTS = ("exp_avg", "exp_avg_sq")


def build(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """Matrices and embeddings are decayed; vectors (biases, norms) are not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim >= 2]
    plain = [p for p in parameters if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=config.epsilon, fused=True)


def state_tensors(optimizer: torch.optim.AdamW, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state by parameter name: NAME.exp_avg, NAME.exp_avg_sq. The number of updates
    is the step of the phase and needs no tensor."""
    return {
        f"{name}.{moment}": optimizer.state[parameter][moment]
        for name, parameter in model.named_parameters()
        for moment in MOMENTS
        if parameter in optimizer.state
    }


def restore(
    optimizer: torch.optim.AdamW, model: nn.Module, tensors: Mapping[str, Tensor], *, steps: int
) -> None:
    """Put back what `state_tensors` gave after `steps` updates. KeyError if a tensor is missing."""
    for name, parameter in model.named_parameters():
        state = optimizer.state[parameter]
        state["step"] = torch.tensor(float(steps), device=parameter.device)
        for moment in MOMENTS:
            saved = tensors[f"{name}.{moment}"]
            state[moment] = saved.to(parameter.device, torch.float32).clone()


def step(
    optimizer: torch.optim.AdamW,
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    scale: float,
    clip_norm: float,
) -> float:
    """Scale the gradients by `scale`, clip their norm to `clip_norm` (0: no clipping), update, and
    clear them. Returns the norm after scaling and before clipping."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients, foreach=True)) * scale
    if clip_norm and norm > clip_norm:
        scale *= clip_norm / norm
    torch._foreach_mul_(gradients, scale)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return norm
