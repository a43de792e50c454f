"""Muon for the matrices of the blocks, AdamW for the rest; warm-up, plateau and decay of their rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration of Muon (Jordan et al. 2024)."""

DECODER_RATE = 2.5
"""The rate of the decoder over that of the tower, which forgot letters at twice its rate."""


def rate_factor(step: int, warmup: int, settled: float) -> float:
    """The factor on the rate: rises over `warmup` steps, stays 1, falls to 0 as `settled` goes to 1."""
    return min(1.0, (step + 1) / max(1, warmup)) * (1.0 - settled)


def orthogonalise(gradients: Tensor, dtype: torch.dtype) -> Tensor:
    """Roughly the nearest orthogonal matrix of each [n, rows, columns], by Newton-Schulz in `dtype`."""
    a, b, c = NEWTON_SCHULZ
    tall = gradients.shape[1] > gradients.shape[2]
    x = (gradients / (gradients.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    x = x.transpose(1, 2).contiguous() if tall else x
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    turned: Tensor = x.transpose(1, 2) if tall else x
    return turned


class Optimiser:
    """Updates float32 masters in place. Its state is plain tensors by name, for the checkpoint."""

    def __init__(
        self,
        masters: Mapping[str, Tensor],
        *,
        rate: float,
        weight_decay: float = 0.05,
        clip: float = 1.0,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """`dtype` is what the matrices are turned in: bfloat16 is enough where it is fast."""
        self.dtype = dtype
        self.masters = dict(masters)
        self.rate, self.weight_decay, self.clip, self.momentum = rate, weight_decay, clip, momentum
        self.matrices = [n for n, m in self.masters.items() if m.ndim == 2 and _is_hidden(n)]
        rest = {n: m for n, m in self.masters.items() if n not in set(self.matrices)}
        self.velocity = {name: torch.zeros_like(self.masters[name]) for name in self.matrices}
        self.rest = rest
        decayed = [m for m in rest.values() if m.ndim > 1]
        free = [m for m in rest.values() if m.ndim <= 1]
        self.adam = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}],
            lr=rate,
            betas=(0.9, 0.98),
            fused=True,
        )

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor], factor: float) -> float:
        """One update at `factor` times the rate; returns the gradients' norm before clipping."""
        norm = float(torch.nn.utils.get_total_norm(list(gradients.values())))
        scale = min(1.0, self.clip / (norm + 1e-9))
        if scale < 1:
            torch._foreach_mul_(list(gradients.values()), scale)
        for name, master in self.rest.items():
            master.grad = gradients.get(name)
        for group in self.adam.param_groups:
            group["lr"] = self.rate * factor
        self.adam.step()
        self._turn_matrices(gradients, self.rate * factor)
        return norm

    def _turn_matrices(self, gradients: Mapping[str, Tensor], rate: float) -> None:
        """Muon with Nesterov momentum, scaled so that its steps have the size of Adam's (Liu et al. 2025)."""
        by_shape: dict[tuple[int, ...], list[tuple[str, int, int]]] = {}
        updates: dict[str, Tensor] = {}
        for name in self.matrices:
            gradient = gradients.get(name)
            if gradient is None:
                continue
            velocity = self.velocity[name]
            velocity.lerp_(gradient, 1 - self.momentum)
            updates[name] = gradient.lerp(velocity, self.momentum)
            rows, columns = gradient.shape
            parts = 3 if ".qkv." in name else 1  # q, k and v are three matrices in one
            for part in range(parts):
                span = (name, part * rows // parts, (part + 1) * rows // parts)
                by_shape.setdefault((rows // parts, columns), []).append(span)
        for (rows, columns), spans in by_shape.items():
            turned = orthogonalise(
                torch.stack([updates[name][low:high] for name, low, high in spans]), self.dtype
            )
            size = 0.2 * max(rows, columns) ** 0.5
            for (name, low, high), update in zip(spans, turned, strict=True):
                master = self.masters[name][low:high]
                mine = rate * (DECODER_RATE if name.startswith("language.") else 1.0)
                master.mul_(1 - mine * self.weight_decay).add_(update.float(), alpha=-mine * size)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"velocity": self.velocity, "adam": self.adam.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        for name, value in state["velocity"].items():
            self.velocity[name].copy_(value)
        self.adam.load_state_dict(state["adam"])


def _is_hidden(name: str) -> bool:
    """Matrices inside the blocks and the merger; embeddings and heads are not."""
    return "blocks." in name or "merger." in name
