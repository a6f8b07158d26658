"""Values of a configuration that change nothing, because of another value."""

from services.domain.spec.rule import DIRECT_RULES, SEQUENTIAL_RULES
from services.domain.spec.sweep import TrialConfig

_SCALED_INITS = ("uniform", "normal", "orthogonal")
# What concerns samples: the theory is of all of them.
_SAMPLED = ("data.seed", "data.test_samples", "trace.evaluate_on", "trace.probe", "trace.alignment_on")


def without_effect(config: TrialConfig, path: str) -> str | None:
    """Why the value at this dotted path changes nothing here, in two or three words; None where it matters."""
    if config.model.kind == "theory" and path in _SAMPLED:
        return "model theory"
    part, _, rest = path.partition(".")
    match part:
        case "data":
            return _in_data(config, rest)
        case "model":
            return _in_model(config, rest)
        case "rule":
            return _in_rule(config, rest)
        case "train":
            return _in_train(config, rest)
        case _:
            return None


def _in_data(config: TrialConfig, path: str) -> str | None:
    data = config.data
    kinds = {"alpha": "regression", "beta": "regression", "teacher": "teacher"}
    drawn = ("noise", "spectrum", "seed")
    head = path.split(".")[0]
    names = ("regression", "teacher") if head in drawn else (kinds[head],) if head in kinds else ()
    if names and data.name not in names:
        return f"data {data.name}"
    return "label_noise 0" if path in ("label_noise_on", "label_noise_seed") and not data.label_noise else None


def _in_model(config: TrialConfig, path: str) -> str | None:
    model, head = config.model, path.split(".")[0]
    if (head == "conv" and model.kind != "cnn") or (head == "transformer" and model.kind != "transformer"):
        return f"model {model.kind}"
    if path in ("hidden", "activation", "bias") and model.kind == "transformer":
        return "model transformer"
    return f"init {model.init}" if path == "init_scale" and model.init not in _SCALED_INITS else None


def _in_rule(config: TrialConfig, path: str) -> str | None:
    rule, head = config.rule, path.split(".")[0]
    names = {rule.name} | ({rule.switch.to} if rule.switch else set())
    has_feedback = names & (DIRECT_RULES | SEQUENTIAL_RULES) or config.model.init.startswith("aligned")
    if (head == "feedback" and not has_feedback) or (head == "mirror" and "wm" not in names):
        return f"rule {rule.name}"
    return "perturbation of size 0" if path == "perturbation.kind" and not rule.perturbation.size else None


def _in_train(config: TrialConfig, path: str) -> str | None:
    train = config.train
    if path in {"sgd": ("betas", "epsilon"), "adam": ("momentum", "nesterov")}[train.optimizer]:
        return f"optimizer {train.optimizer}"
    kinds = {"schedule.every_epochs": "step", "schedule.factor": "step", "schedule.final": "cosine"}
    if train.schedule.kind != kinds.get(path, train.schedule.kind):
        return f"schedule {train.schedule.kind}"
    return "shuffle false" if path == "order_seed" and not train.shuffle else None
