"""LAMB: Adam's step, scaled layer by layer so that large batches keep converging.

You et al., arXiv 1904.00962, algorithm 2, with the weights' norm bounded as poptorch does. With
`trust` off in a group the step is AdamW's (arXiv 1711.05101), with or without bias correction.
Weights in a short format are moved in float32 and rounded back (`optim.short`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lmtrainer.optim.short import long, moment_formats, write_back

MAX_WEIGHT_NORM = 65_500.0
"""Longest weight vector that lengthens its step."""


class Lamb(Optimizer):
    """Parameter groups take `weight_decay` (decoupled) and `trust` beside torch's usual options,
    and `gradient_scale`, which gradients in a short format are multiplied by.
    State: `step`, `exp_avg` in the format of the parameter, `exp_avg_sq` in float32."""

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        bias_correction: bool = True,
        seed: int = 0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "bias_correction": bias_correction}
        more = {"weight_decay": 0.0, "trust": True, "gradient_scale": 1.0, "seed": seed}
        super().__init__(params, {**defaults, **more})
        self.numbers: Mapping[Tensor, int] = {}
        """Parameter -> its number in the model, which tells how it is rounded."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._update(group, parameters)
        return loss

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = [self._state(parameter) for parameter in parameters]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if parameters[0].dtype == torch.float32:
            self._move(group, parameters, gradients, states)
            return
        weights, kept = long(parameters), [state["exp_avg"] for state in states]
        working = [
            {**state, "exp_avg": first} for state, first in zip(states, long(kept), strict=True)
        ]
        self._move(group, weights, long(gradients, group["gradient_scale"]), working)
        for first, state in zip(kept, working, strict=True):
            first.copy_(state["exp_avg"])
        step = int(states[0]["step"])
        seeds = [(group["seed"], step, self.numbers.get(p, 0)) for p in parameters]
        write_back(parameters, weights, seeds)

    def _move(
        self,
        group: dict[str, Any],
        parameters: list[Tensor],
        gradients: list[Tensor],
        states: list[dict[str, Tensor]],
    ) -> None:
        """The update itself; everything is float32 here."""
        first = [state["exp_avg"] for state in states]
        second = [state["exp_avg_sq"] for state in states]
        torch._foreach_add_([state["step"] for state in states], 1.0)
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(first, gradients, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        correction1 = correction2 = 1.0
        if group["bias_correction"]:
            updates_done = float(states[0]["step"])
            correction1, correction2 = 1 - beta1**updates_done, 1 - beta2**updates_done
        roots = torch._foreach_sqrt(second)
        torch._foreach_div_(roots, correction2**0.5)
        torch._foreach_add_(roots, group["eps"])
        updates = torch._foreach_div(first, roots)
        torch._foreach_div_(updates, correction1)
        if group["weight_decay"]:
            torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
        if group["trust"]:
            _scale(updates, parameters)
        torch._foreach_add_(parameters, updates, alpha=-group["lr"])

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())  # on the host, which reads it
            for moment, kind in moment_formats(parameter).items():
                state[moment] = torch.zeros_like(
                    parameter, dtype=kind, memory_format=torch.preserve_format
                )
        return state


def _scale(updates: tuple[Tensor, ...], parameters: list[Tensor]) -> None:
    """By the length of the weights over that of the update; by 1 where either is 0."""
    weights, lengths = (torch.stack(torch._foreach_norm(each)) for each in (parameters, updates))
    ratios = weights.clamp(max=MAX_WEIGHT_NORM) / lengths
    ratios = torch.where((weights > 0) & (lengths > 0), ratios, 1.0)
    torch._foreach_mul_(updates, ratios.unbind())
