"""Some members of a pack, out of stacked tensors and lists: by index as copies, by slice as views."""

from collections.abc import Sequence
from typing import Any, TypeVar

from torch import Tensor

Members = Tensor | slice
"""Indices (P',) int64, or a slice of the pack."""

T = TypeVar("T")


def select(tree: Any, members: Members) -> Any:
    """Lists and dicts of stacked tensors at these members, each in its memory order; None and empty tensors stay."""
    match tree:
        case Tensor() if not tree.numel():
            return tree
        case Tensor() if isinstance(members, slice):
            return tree[members]
        case Tensor():
            assert not isinstance(members, slice)
            transposed = tree.ndim == 3 and not tree.is_contiguous()
            return tree.mT.index_select(0, members).mT if transposed else tree.index_select(0, members)
        case dict():
            return {key: select(value, members) for key, value in tree.items()}
        case list():
            return [select(value, members) for value in tree]
        case _:
            return tree


def listed(values: Sequence[T], members: Members) -> list[T]:
    """The values of these members."""
    if isinstance(members, slice):
        return list(values[members])
    return [values[i] for i in members.tolist()]
