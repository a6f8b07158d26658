"""How much memory a trial takes while it trains, and how much work it is, from its configuration alone."""

from services.domain.architecture import architecture
from services.domain.schedule import total_steps, trace_steps
from services.domain.spec import DIRECT_RULES, SEQUENTIAL_RULES, TrialConfig

EVALUATION_BATCH = 500
"""Samples evaluated together."""

_FLOAT, _DOUBLE, _INDEX = 4, 8, 8
_NUMBERS_MEASURED_TOGETHER = 2**18
_EVALUATIONS_PER_POINT = 36
"""Of the theory's equations, between two trace points: about three steps of an integrator of twelve stages."""


def working_set(config: TrialConfig) -> int:
    """What one step touches, in bytes: weights, feedback, and the batch's activations and deltas. Of the theory, its
    integrals and what they are made of."""
    if config.model.kind == "theory":
        return 4 * _DOUBLE * _integrals(config)
    network = architecture(config)
    widths = network.widths
    rules = {config.rule.name, config.rule.switch.to if config.rule.switch else None}
    direct = sum(widths[1:-1]) * widths[-1] if rules & DIRECT_RULES else 0
    sequential = network.parameter_count if rules & SEQUENTIAL_RULES else 0
    per_sample = widths[0] + 2 * sum(widths[1:]) + sum(layer.saved for layer in network.layers)
    return _FLOAT * (network.parameter_count + direct + sequential + config.train.batch_size * per_sample)


def measured_together(config: TrialConfig) -> int:
    """Trials whose trace point a CPU takes together: as many as leave their widest activations in its cache."""
    network = architecture(config)
    widest = max(*network.widths[1:], *(layer.saved for layer in network.layers))
    return max(1, _NUMBERS_MEASURED_TOGETHER // (_samples_measured(config) * widest))


def peak(config: TrialConfig, trials: int = 1, *, together: int | None = None) -> int:
    """At most, about, in bytes: twice the working set, the order of the samples and their labels, and a trace point.

    A trace point holds the probe, or a batch of the evaluation, with the activations and the deltas of two rules, the
    latter in double precision, for as many trials as are measured `together` (all unless given). The theory has no
    samples.
    """
    if config.model.kind == "theory":
        return trials * 2 * working_set(config)
    network = architecture(config)
    widths = network.widths
    saved = sum(layer.saved for layer in network.layers)
    measured = _samples_measured(config) * (_FLOAT * (widths[0] + 2 * saved) + 44 * sum(widths[1:]))
    held = 2 * working_set(config) + 2 * _INDEX * config.data.train_count
    return trials * held + min(trials, together or trials) * measured


def work_per_step(config: TrialConfig) -> float:
    """What the time of an update goes by, measuring included: multiplications, and numbers touched.

    A forward and a backward pass are three products of each layer; a trace point is a forward pass over the samples of
    the evaluation, and both rules' passes over the probe. The theory works by trace points, not by steps.
    """
    products = sum(layer.products for layer in architecture(config).layers)
    steps = max(1, total_steps(config))
    points = len(trace_steps(steps, config.trace.points_per_decade))
    if config.model.kind == "theory":
        return points / steps * _EVALUATIONS_PER_POINT * working_set(config) / _DOUBLE
    on = config.trace.evaluate_on
    sizes = (config.data.train_count, config.data.test_count)
    evaluated = sum(size if on == "full" else min(on, size) for size in sizes)
    measured = points / steps * (evaluated + 5 * config.trace.probe)
    return (3 * config.train.batch_size + measured) * products + working_set(config) / _FLOAT


def _samples_measured(config: TrialConfig) -> int:
    return max(config.trace.probe, EVALUATION_BATCH)


def _integrals(config: TrialConfig) -> int:
    """Averages over fields of the student and the teacher that one evaluation of the theory takes."""
    k, m = config.model.hidden[0], config.data.teacher.hidden
    return k**2 * (k + m) ** 2
