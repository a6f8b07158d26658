"""Which trials may share a pack: those equal in everything but the values that a pack holds per trial."""

from typing import Any

from services.domain.spec import TrialConfig, canonical_json

# Dotted paths of the values that a pack holds per trial.
PER_TRIAL = (
    "train.lr",
    "train.order_seed",
    "data.label_noise",
    "data.label_noise_seed",
    "model.init_seed",
    "rule.feedback.scale",
    "rule.feedback.seed",
)


def shared_configuration(config: TrialConfig | dict[str, Any]) -> str:
    """What trials of one pack have in common, as canonical JSON."""
    document = config if isinstance(config, dict) else config.model_dump(mode="json")
    for path in PER_TRIAL:
        document = _without(document, path.split("."))
    return canonical_json(document)


def _without(document: dict[str, Any], path: list[str]) -> dict[str, Any]:
    head, *rest = path
    if rest:
        return {**document, head: _without(document[head], rest)}
    return {key: value for key, value in document.items() if key != head}
