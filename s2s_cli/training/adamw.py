"""AdamW, the optimiser."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), all parameters in one pass.

    To the last bit `torch.optim.AdamW(..., fused=True)`, which would import the compiler of torch at each start of a
    training: more than a second. `state` has of each parameter that had a gradient the number of its steps, and the
    moving averages of its gradients and of their squares.
    """

    def __init__(self, decays: Sequence[tuple[Sequence[nn.Parameter], float]], betas: tuple[float, float]) -> None:
        """decays: parameters, and by how much each step shrinks them, in learning rates."""
        self.decays, self.betas = decays, betas
        self.parameters = [parameter for parameters, _ in decays for parameter in parameters]
        self.state: defaultdict[nn.Parameter, dict[str, Tensor]] = defaultdict(dict)

    def state_of(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """What is kept of a parameter; zeros before its first step."""
        if not (state := self.state[parameter]):
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change each parameter that has a gradient."""
        for parameters, decay in self.decays:
            changing = [parameter for parameter in parameters if parameter.grad is not None]
            if not changing:
                continue
            states = [self.state_of(parameter) for parameter in changing]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                list[Tensor](changing),
                [parameter.grad for parameter in changing if parameter.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=rate,
                beta1=self.betas[0],
                beta2=self.betas[1],
                weight_decay=decay,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )

    def forget_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
