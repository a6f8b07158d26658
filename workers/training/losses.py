"""Losses over stacked outputs: the error e = dL/d(outputs) of the batch sum, and loss and accuracy per sample.

Outputs come as (P, B, C), targets as labels (P, B) or real numbers (P, B, C). Internally classes run along the middle
axis, (P, C, B), in which narrow readouts leave them: a softmax over a short last axis is twenty times slower.
"""

import torch
from torch import Tensor


def error(loss: str, output_PBC: Tensor, y: Tensor) -> Tensor:
    """e (P, B, C) of the loss summed over the batch.

    cross_entropy: softmax - onehot. mse, sum over outputs of (yhat - y)^2: 2 (yhat - y). half_mse: yhat - y.
    """
    output_PCB = output_PBC.mT.contiguous()
    e_PCB = torch.softmax(output_PCB, dim=1) if loss == "cross_entropy" else output_PCB.clone()
    if y.is_floating_point():
        e_PCB.sub_(y.mT)
    else:
        y_P1B = y.unsqueeze(1)
        e_PCB.scatter_add_(1, y_P1B, e_PCB.new_full((), -1.0).expand(y_P1B.shape))
    if loss == "mse":
        e_PCB.mul_(2)
    return e_PCB.mT


def target(output_PBC: Tensor, y: Tensor) -> Tensor:
    """Targets as outputs would have them, (P, B, C): one-hot for labels."""
    return y if y.is_floating_point() else torch.zeros_like(output_PBC).scatter_(2, y.unsqueeze(2), 1.0)


def per_sample_loss(loss: str, output_PBC: Tensor, y: Tensor) -> Tensor:
    """Loss of each sample, (P, B)."""
    if loss == "cross_entropy":
        output_PCB = output_PBC.mT.contiguous()
        return -torch.log_softmax(output_PCB, dim=1).gather(1, y.unsqueeze(1)).squeeze(1)
    squares_PB = (output_PBC - target(output_PBC, y)).square().sum(2)
    return squares_PB / 2 if loss == "half_mse" else squares_PB


def correct(output_PBC: Tensor, y: Tensor) -> Tensor:
    """Whether each sample's largest output is its label's, (P, B); NaN for real targets."""
    if y.is_floating_point():
        return torch.full_like(output_PBC[..., 0], torch.nan)
    return output_PBC.mT.contiguous().max(dim=1).indices == y  # the first of equal ones, as argmax, but faster
