"""How much memory a trial takes while it trains, from its configuration alone."""

from services.domain.architecture import architecture
from services.domain.spec import DIRECT_RULES, SEQUENTIAL_RULES, TrialConfig

_FLOAT, _INDEX = 4, 8


def working_set(config: TrialConfig) -> int:
    """What one step touches, in bytes: weights, feedback, and the batch's activations and deltas."""
    network = architecture(config)
    widths = network.widths
    rules = {config.rule.name, config.rule.switch.to if config.rule.switch else None}
    direct = sum(widths[1:-1]) * widths[-1] if rules & DIRECT_RULES else 0
    sequential = network.parameter_count if rules & SEQUENTIAL_RULES else 0
    per_sample = widths[0] + 2 * sum(widths[1:]) + sum(layer.saved for layer in network.layers)
    return _FLOAT * (network.parameter_count + direct + sequential + config.train.batch_size * per_sample)


def peak(config: TrialConfig) -> int:
    """At most, about, in bytes: twice the working set, the order of the samples and their labels, and a trace point.

    A trace point holds the probe, or a batch of the evaluation, with the activations and the deltas of two rules, the
    latter in double precision.
    """
    network = architecture(config)
    widths = network.widths
    saved = sum(layer.saved for layer in network.layers)
    traced = max(config.trace.probe, 500) * (_FLOAT * (widths[0] + 2 * saved) + 44 * sum(widths[1:]))
    return 2 * working_set(config) + 2 * _INDEX * config.data.train_count + traced
