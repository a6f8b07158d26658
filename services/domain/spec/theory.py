"""What the theory of online learning covers: configurations of model `theory`."""

from collections.abc import Iterator

from services.domain.spec.data import DataSpec
from services.domain.spec.model import ModelSpec
from services.domain.spec.rule import RuleSpec
from services.domain.spec.trace import TraceSpec
from services.domain.spec.train import TrainSpec

_ACTIVATIONS = ("erf", "linear")
_RULES = ("bp", "fa", "dfa", "shallow")
_MOST_INTEGRALS = 2**20


def theory_problems(
    data: DataSpec, model: ModelSpec, rule: RuleSpec, train: TrainSpec, trace: TraceSpec
) -> Iterator[str]:
    """Why the order parameters of this training do not obey the equations that are solved."""
    if data.name != "teacher":
        yield "the theory is of a student that learns from data teacher"
        return
    teacher = data.teacher
    if model.activation not in _ACTIVATIONS:
        yield f"the theory is closed for activations {' and '.join(_ACTIVATIONS)}, not {model.activation}"
    elif teacher.activation != model.activation:
        yield f"the theory is of a teacher with the student's activation {model.activation}, not {teacher.activation}"
    integrals = model.hidden[0] ** 2 * (model.hidden[0] + teacher.hidden) ** 2
    if integrals > _MOST_INTEGRALS:
        yield f"the theory of K = {model.hidden[0]} and M = {teacher.hidden} hidden units needs K^2 (K + M)^2 = " + (
            f"{integrals:,} integrals at every step; it may need {_MOST_INTEGRALS:,}"
        )
    if data.spectrum != 0:
        yield "the theory is of isotropic inputs: spectrum must be 0"
    if rule.name not in _RULES:
        yield f"the theory is of rules {', '.join(_RULES)}, not {rule.name}"
    if rule.switch is not None:
        yield "the theory is of one rule: no switch"
    if rule.perturbation.size:
        yield "the theory is of gradients without perturbation"
    if train.optimizer != "sgd" or train.momentum or train.weight_decay or train.schedule.kind != "constant":
        yield "the theory is of plain sgd: no momentum, no weight_decay, a constant schedule"
    if trace.snapshots_per_decade:
        yield "the theory has no weights to keep: snapshots_per_decade must be 0"
