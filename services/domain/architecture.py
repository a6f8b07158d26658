"""The layers of a network from its spec alone: widths and parameter shapes, without any tensor."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from services.domain.spec import TrialConfig

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Dense:
    """a = h W + b."""

    inputs: int
    outputs: int
    bias: bool = False

    @property
    def parameters(self) -> list[Shape]:
        return [(self.inputs, self.outputs), *([(1, self.outputs)] if self.bias else [])]

    @property
    def saved(self) -> int:
        """Numbers kept per sample for the backward pass, beside the output; so for every layer here."""
        return 0

    @property
    def smallest_product(self) -> int:
        """Multiplications in the smallest matrix product, per sample; so for every layer here."""
        return self.inputs * self.outputs

    @property
    def products(self) -> int:
        """Multiplications in all matrix products of a forward pass, per sample; so for every layer here."""
        return self.smallest_product


@dataclass(frozen=True, kw_only=True)
class Conv:
    """A convolution over square maps of `side` pixels, channels last, then activation, then pooling.

    W is (kernel * kernel * channels, filters): rows in the order (row, column, channel) of a window.
    """

    side: int
    channels: int
    filters: int
    kernel: int
    stride: int
    padding: int
    pool: int
    pooling: str
    bias: bool

    @property
    def map_side(self) -> int:
        """Side of the map before pooling."""
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def pooled_side(self) -> int:
        return self.map_side // self.pool

    @property
    def inputs(self) -> int:
        return self.side * self.side * self.channels

    @property
    def outputs(self) -> int:
        return self.pooled_side**2 * self.filters

    @property
    def parameters(self) -> list[Shape]:
        return [(self.kernel**2 * self.channels, self.filters), *([(1, self.filters)] if self.bias else [])]

    @property
    def saved(self) -> int:
        return self.map_side**2 * (self.kernel**2 * self.channels + self.filters)

    @property
    def smallest_product(self) -> int:
        return self.map_side**2 * self.kernel**2 * self.channels * self.filters

    @property
    def products(self) -> int:
        return self.smallest_product


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Patches to tokens: a linear map of each patch plus a learned position."""

    side: int
    channels: int
    patch: int
    width: int

    @property
    def tokens(self) -> int:
        return (self.side // self.patch) ** 2

    @property
    def inputs(self) -> int:
        return self.side * self.side * self.channels

    @property
    def outputs(self) -> int:
        return self.tokens * self.width

    @property
    def parameters(self) -> list[Shape]:
        return [(self.patch**2 * self.channels, self.width), (1, self.width), (self.tokens, self.width)]

    @property
    def saved(self) -> int:
        return self.inputs

    @property
    def smallest_product(self) -> int:
        return self.inputs * self.width

    @property
    def products(self) -> int:
        return self.smallest_product


@dataclass(frozen=True, kw_only=True)
class Block:
    """A pre-norm encoder block: x + attention(norm(x)), then + MLP(norm(.)) with GELU."""

    tokens: int
    width: int
    heads: int
    hidden: int

    @property
    def inputs(self) -> int:
        return self.tokens * self.width

    @property
    def outputs(self) -> int:
        return self.inputs

    @property
    def parameters(self) -> list[Shape]:
        d, h = self.width, self.hidden
        return [(1, d), (1, d), (d, 3 * d), (d, d), (1, d), (1, d), (d, h), (1, h), (h, d), (1, d)]

    @property
    def saved(self) -> int:
        return self.tokens * (8 * self.width + 3 * self.hidden + 3 * self.heads * self.tokens)

    @property
    def smallest_product(self) -> int:
        return 0

    @property
    def products(self) -> int:
        d, t = self.width, self.tokens
        return t * (4 * d * d + 2 * d * self.hidden) + 2 * t * t * d


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Normalises the tokens, averages them, and maps the mean to the outputs."""

    tokens: int
    width: int
    outputs: int

    @property
    def inputs(self) -> int:
        return self.tokens * self.width

    @property
    def parameters(self) -> list[Shape]:
        return [(1, self.width), (1, self.width), (self.width, self.outputs), (1, self.outputs)]

    @property
    def saved(self) -> int:
        return 3 * self.inputs

    @property
    def smallest_product(self) -> int:
        return self.width * self.outputs

    @property
    def products(self) -> int:
        return self.smallest_product


Layer = Dense | Conv | Embedding | Block | Readout


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Weight layers 1..L at index 0..L-1. The inputs are multiplied by `input_scale`, the learning rate of layer i + 1
    by `lr_factors[i]`."""

    layers: list[Layer]
    lr_factors: list[float]
    input_scale: float = 1.0

    @property
    def widths(self) -> list[int]:
        """n_0, ..., n_L."""
        return [self.layers[0].inputs, *(layer.outputs for layer in self.layers)]

    @property
    def parameter_count(self) -> int:
        return sum(math.prod(shape) for layer in self.layers for shape in layer.parameters)


def architecture(config: TrialConfig) -> Architecture:
    """The network of a configuration."""
    layers = list(_layers(config))
    if config.model.kind == "committee":
        n = config.data.input_count
        return Architecture(layers=layers, lr_factors=[1.0, 1 / n], input_scale=n**-0.5)
    return Architecture(layers=layers, lr_factors=[1.0] * len(layers))


def _layers(config: TrialConfig) -> Iterator[Layer]:
    data, model = config.data, config.model
    match model.kind:
        case "mlp":
            yield from _dense([data.input_count, *model.hidden, data.output_count], bias=model.bias)
        case "committee" | "theory":
            yield from _dense([data.input_count, model.hidden[0], data.output_count], bias=False)
        case "cnn":
            assert data.image is not None
            channels, side = data.image
            conv, sides = model.conv, model.conv.sides(side)
            for side_in, (below, filters) in zip(sides, pairwise([channels, *conv.channels]), strict=False):
                yield Conv(
                    side=side_in,
                    channels=below,
                    filters=filters,
                    kernel=conv.kernel,
                    stride=conv.stride,
                    padding=conv.padding,
                    pool=conv.pool,
                    pooling=conv.pooling,
                    bias=model.bias,
                )
            flat = sides[-1] ** 2 * conv.channels[-1]
            yield from _dense([flat, *model.hidden, data.output_count], bias=model.bias)
        case "transformer":
            assert data.image is not None
            channels, side = data.image
            spec = model.transformer
            embedding = Embedding(side=side, channels=channels, patch=spec.patch, width=spec.width)
            yield embedding
            for _ in range(spec.blocks):
                yield Block(
                    tokens=embedding.tokens, width=spec.width, heads=spec.heads, hidden=spec.expansion * spec.width
                )
            yield Readout(tokens=embedding.tokens, width=spec.width, outputs=data.output_count)


def _dense(widths: list[int], *, bias: bool) -> Iterator[Dense]:
    for inputs, outputs in pairwise(widths):
        yield Dense(inputs=inputs, outputs=outputs, bias=bias)
