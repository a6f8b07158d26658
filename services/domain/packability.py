"""Which trials may share a pack: those equal in everything but the values that a pack holds per trial."""

from typing import Any

from services.domain.spec import TrialConfig, canonical_json

# Dotted paths of the values that a pack holds per trial.
PER_TRIAL = (
    "train.lr",
    "train.schedule",
    "train.reduction",
    "train.betas",
    "train.epsilon",
    "train.order_seed",
    "data.label_noise",
    "data.label_noise_seed",
    "data.alpha",
    "data.beta",
    "data.noise",
    "data.seed",
    "data.teacher.activation",
    "data.teacher.hidden",
    "data.teacher.second_layer",
    "data.teacher.seed",
    "model.init_scale",
    "model.init_seed",
    "rule.feedback.scale",
    "rule.feedback.seed",
    "rule.feedback.values",
    "rule.mirror.lr",
    "rule.mirror.decay",
    "rule.mirror.noise",
)

# Values that a pack holds per trial, but whose being zero or not decides which program runs.
ON_OR_OFF = ("train.momentum", "train.weight_decay", "rule.perturbation.size")


def shared_configuration(config: TrialConfig | dict[str, Any]) -> str:
    """What trials of one pack have in common, as canonical JSON."""
    document = config if isinstance(config, dict) else config.model_dump(mode="json")
    for path in PER_TRIAL:
        document = _with(document, path.split("."), lambda _: None)
    for path in ON_OR_OFF:
        document = _with(document, path.split("."), bool)
    return canonical_json(document)


def _with(document: dict[str, Any], path: list[str], change: Any) -> dict[str, Any]:
    head, *rest = path
    return {**document, head: _with(document[head], rest, change) if rest else change(document[head])}
