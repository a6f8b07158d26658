"""The state of trials while they train: to interrupt them, to go on in another pack, and to keep their weights."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from services.domain.results import Checkpoint, Snapshot
from workers.training.pack import Pack


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """Everything that the future of a trial depends on, after `step` updates; tensors without a pack axis.

    Random streams need no state: each is a function of seed, purpose and step.
    """

    step: int
    tensors: dict[str, Tensor]

    def document(self, trial_id: int) -> bytes:
        """As a safetensors document; the trial's id makes it unlike any other trial's."""
        return safetensors.torch.save(self.tensors, {"step": str(self.step), "trial": str(trial_id)})

    @classmethod
    def read(cls, document: bytes) -> "TrialState":
        """From what `document` made. Raises ValueError for anything else."""
        try:
            length = int.from_bytes(document[:8], "little")
            step = int(json.loads(document[8 : 8 + length])["__metadata__"]["step"])
            return cls(step=step, tensors=safetensors.torch.load(document))
        except (KeyError, safetensors.SafetensorError) as error:
            raise ValueError(f"not the state of a trial: {error}") from error


def states(pack: Pack) -> list[TrialState]:
    """The state of every trial now, as copies on the CPU."""
    stacked = pack.tensors()
    return [
        TrialState(
            step=pack.step,
            tensors={
                name: tensor[p].cpu().clone(memory_format=torch.contiguous_format) for name, tensor in stacked.items()
            },
        )
        for p in range(len(pack.ids))
    ]


def restore(pack: Pack, given: Sequence[TrialState]) -> None:
    """Go on from these states, one per trial in order. Raises ValueError where they are of different steps."""
    if len({state.step for state in given}) != 1 or len(given) != len(pack.ids):
        raise ValueError("a pack resumes from one state per trial, all at one step")
    pack.optimizer.state.clear()
    own = pack.tensors()
    like = next(iter(own.values()))
    for name in sorted(given[0].tensors, key=_place):
        stacked = torch.stack([state.tensors[name] for state in given]).to(like.device)
        if name in own:
            own[name].copy_(stacked)
        else:
            pack.optimizer.state.setdefault(name.split(":")[1], []).append(stacked)
    pack.resume_at(given[0].step)


def checkpoints(pack: Pack) -> list[Checkpoint]:
    """The state of every trial now, as documents."""
    return [
        Checkpoint(trial_id=trial_id, step=state.step, safetensors=state.document(trial_id))
        for trial_id, state in zip(pack.ids, states(pack), strict=True)
    ]


def snapshots(pack: Pack) -> list[Snapshot]:
    """The weights of every trial now, as safetensors: parameter i of layer l is `layer<l>.<i>`."""
    named: list[dict[str, Tensor]] = [{} for _ in pack.ids]
    for l, layer in enumerate(pack.network.parameters[1:], start=1):
        for place, parameter in enumerate(layer):
            for p in range(len(pack.ids)):
                named[p][f"layer{l}.{place}"] = parameter[p].contiguous().cpu()
    return [
        Snapshot(trial_id=trial_id, step=pack.step, safetensors=safetensors.torch.save(tensors))
        for trial_id, tensors in zip(pack.ids, named, strict=True)
    ]


def _place(name: str) -> tuple[str, int]:
    """Sort key of a tensor's name: by what it belongs to, then by its number there."""
    owner, _, place = name.rpartition(":")
    return owner, int(place)
