"""What is known of each data set without loading it: enough to plan and to pack."""

from dataclasses import dataclass

from services.domain.spec import DataName, TrialConfig


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Shape of one data set; `side` is height and width in pixels."""

    channels: int
    side: int
    classes: int
    train_samples: int
    test_samples: int


FACTS: dict[DataName, DataFacts] = {
    "digits": DataFacts(channels=1, side=8, classes=10, train_samples=1437, test_samples=360),
    "mnist": DataFacts(channels=1, side=28, classes=10, train_samples=60_000, test_samples=10_000),
    "fashion_mnist": DataFacts(channels=1, side=28, classes=10, train_samples=60_000, test_samples=10_000),
    "cifar10": DataFacts(channels=3, side=32, classes=10, train_samples=50_000, test_samples=10_000),
    "cifar100": DataFacts(channels=3, side=32, classes=100, train_samples=50_000, test_samples=10_000),
}


def layer_widths(config: TrialConfig) -> list[int]:
    """Widths of all layers from input to output."""
    facts = FACTS[config.data.name]
    side = config.data.size or facts.side
    return [facts.channels * side * side, *config.model.hidden, facts.classes]


def train_samples(config: TrialConfig) -> int:
    """Training samples that the trial sees in one epoch."""
    available = FACTS[config.data.name].train_samples
    return min(available, config.data.train_samples or available)
