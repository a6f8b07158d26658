"""Losses over stacked logits: the error e = dL/d(logits) of the batch sum, and loss and accuracy per sample.

Logits come as (P, B, C). Internally classes run along the middle axis, (P, C, B): a softmax over a short last axis is
twenty times slower.
"""

import torch
from torch import Tensor

from services.domain.spec import TrainSpec


def error(loss: str, logits_PBC: Tensor, y_PB: Tensor) -> Tensor:
    """e (P, B, C) of the loss summed over the batch.

    cross_entropy: softmax - onehot. mse, sum over outputs of (yhat - onehot)^2: 2 (yhat - onehot).
    """
    logits_PCB = logits_PBC.transpose(1, 2).contiguous()
    e_PCB = torch.softmax(logits_PCB, dim=1) if loss == "cross_entropy" else logits_PCB
    e_PCB.scatter_add_(1, y_PB.unsqueeze(1), e_PCB.new_full((), -1.0).expand(y_PB.unsqueeze(1).shape))
    if loss == "mse":
        e_PCB.mul_(2)
    return e_PCB.transpose(1, 2)


def reduction_factor(train: TrainSpec, batch: int) -> float:
    """What the batch sum is multiplied by: 1 for `sum`, 1/B for `mean`."""
    return 1.0 if train.reduction == "sum" else 1.0 / batch


def per_sample_loss(loss: str, logits_PBC: Tensor, y_PB: Tensor) -> Tensor:
    """Loss of each sample, (P, B)."""
    logits_PCB = logits_PBC.transpose(1, 2).contiguous()
    y_P1B = y_PB.unsqueeze(1)
    if loss == "cross_entropy":
        return -torch.log_softmax(logits_PCB, dim=1).gather(1, y_P1B).squeeze(1)
    onehot_PCB = torch.zeros_like(logits_PCB).scatter_(1, y_P1B, 1.0)
    return (logits_PCB - onehot_PCB).square().sum(1)


def correct(logits_PBC: Tensor, y_PB: Tensor) -> Tensor:
    """Whether each sample's largest logit is its label's, (P, B) bool."""
    return logits_PBC.argmax(-1) == y_PB
