"""Whether the parts of a configuration fit together."""

from collections.abc import Iterator

from services.domain.spec.data import DataSpec
from services.domain.spec.model import ModelSpec
from services.domain.spec.rule import DIRECT_RULES, SEQUENTIAL_RULES, RuleSpec
from services.domain.spec.theory import theory_problems
from services.domain.spec.trace import TraceSpec
from services.domain.spec.train import TrainSpec


def problems(data: DataSpec, model: ModelSpec, rule: RuleSpec, train: TrainSpec, trace: TraceSpec) -> Iterator[str]:
    """What keeps this data, model, rule, training and measuring from going together."""
    found = (
        _rule_problem(model, rule),
        _feedback_problem(data, model, rule),
        _model_problem(data, model),
        _loss_problem(data, train),
        _batch_problem(data, train),
    )
    yield from filter(None, found)
    if model.kind == "theory":
        yield from theory_problems(data, model, rule, train, trace)


def _rule_problem(model: ModelSpec, rule: RuleSpec) -> str | None:
    """Why this rule cannot train this model, if it cannot."""
    names = {rule.name} | ({rule.switch.to} if rule.switch else set())
    if model.kind == "mlp" and not model.hidden and names != {"bp"}:
        return f"rule {rule.name} needs at least one hidden layer"
    if model.kind == "transformer" and names & SEQUENTIAL_RULES:
        return f"rule {rule.name} needs a transposed weight matrix, which a transformer block does not have"
    if model.init.startswith("aligned") and names & SEQUENTIAL_RULES:
        return f"init {model.init} follows direct feedback, which rule {rule.name} does not have"
    if model.init.startswith("aligned") and model.kind == "mlp" and not model.hidden:
        return f"init {model.init} needs at least one hidden layer"
    return None


def _feedback_problem(data: DataSpec, model: ModelSpec, rule: RuleSpec) -> str | None:
    """Why this feedback does not fit the model. A rule without feedback may stand beside any, on an axis of rules."""
    feedback = rule.feedback
    names = {rule.name} | ({rule.switch.to} if rule.switch else set())
    if not names & (DIRECT_RULES | SEQUENTIAL_RULES) and not model.init.startswith("aligned"):
        return None
    positions = {"repeated": ("cnn", "transformer"), "svd": ("cnn",), "nmf": ("cnn",)}.get(feedback.distribution)
    if positions and (model.kind not in positions or names & SEQUENTIAL_RULES):
        return f"feedback {feedback.distribution} is direct feedback (dfa, drtp) into a {' or '.join(positions)}"
    if feedback.distribution in ("svd", "nmf") and (model.conv.padding or _pooled(model)):
        return f"feedback {feedback.distribution} needs convolutions without padding and pooling"
    if feedback.distribution in ("svd", "nmf") and _smallest_map(data, model) <= data.output_count:
        return f"feedback {feedback.distribution} needs maps of more numbers than there are outputs"
    if feedback.distribution == "svd" and model.init == "zero":
        return "feedback svd factorises the initial weights: init zero has none"
    if feedback.distribution == "matched" and model.init.startswith("aligned"):
        return f"feedback matched follows the initial weights, which init {model.init} takes from the feedback"
    if feedback.distribution == "matched" and (model.kind == "transformer" or _pooled(model)):
        return "feedback matched needs layers that are matrices: no transformer, no pooling"
    if feedback.rank is not None and feedback.distribution not in ("uniform", "normal", "orthogonal"):
        return f"rank is for feedback uniform, normal and orthogonal, not {feedback.distribution}"
    if feedback.values is None:
        return None
    if model.kind not in ("mlp", "committee", "theory") or len(model.hidden) != 1:
        return "feedback values are for networks of one hidden layer"
    shape = (data.output_count, model.hidden[0])
    if len(feedback.values) != shape[0] or {len(row) for row in feedback.values} != {shape[1]}:
        return f"feedback values need a row per output and a number per hidden unit: {shape[0]} rows of {shape[1]}"
    return None


def _smallest_map(data: DataSpec, model: ModelSpec) -> int:
    """Numbers in the smallest map below or above a convolution between two others."""
    assert data.image is not None
    sides = model.conv.sides(data.image[1])[1:]
    return min(side * side * channels for side, channels in zip(sides, model.conv.channels, strict=True))


def _pooled(model: ModelSpec) -> bool:
    return model.kind == "cnn" and model.conv.pool > 1


def _model_problem(data: DataSpec, model: ModelSpec) -> str | None:
    """Why this model cannot be built, if it cannot."""
    if model.kind in ("cnn", "transformer") and (data.is_random or data.name == "npz"):
        return f"a {model.kind} needs images, not {data.name}"
    if model.kind == "cnn" and data.image and min(model.conv.sides(data.image[1])) < 1:
        return f"the convolutions leave no pixel of images of {data.image[1]}: sides {model.conv.sides(data.image[1])}"
    if model.kind == "transformer" and data.image and data.image[1] % model.transformer.patch:
        return f"patches of {model.transformer.patch} pixels do not tile images of {data.image[1]}"
    if model.kind == "committee" and data.name != "teacher":
        return "a committee learns from data teacher"
    if model.init == "aligned" and model.kind != "mlp":
        return "init aligned is for an mlp; aligned_readout is for any network with a fully connected readout"
    if model.kind == "transformer" and model.init != "default":
        return "a transformer has init default"
    return None


def _loss_problem(data: DataSpec, train: TrainSpec) -> str | None:
    """Why this loss does not fit the data, if it does not."""
    if data.is_random and train.loss == "cross_entropy":
        return f"data {data.name} has real targets: loss must be mse or half_mse"
    if data.is_random and data.label_noise:
        return f"data {data.name} has no labels: use noise in place of label_noise"
    return None


def _batch_problem(data: DataSpec, train: TrainSpec) -> str | None:
    """Why there cannot be such batches, if there cannot."""
    if data.name != "teacher" and train.batch_size > data.train_count:
        return f"a batch of {train.batch_size:,} is larger than the {data.train_count:,} training samples"
    return None
