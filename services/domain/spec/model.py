"""The networks."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.domain.spec.base import Seed, SpecModel, Width

Activation = Literal["tanh", "relu", "leaky_relu", "linear", "erf", "sigmoid", "swish"]
InitName = Literal["default", "uniform", "normal", "orthogonal", "zero", "aligned", "aligned_readout"]


class ConvSpec(SpecModel):
    """The convolutions at the bottom of a `cnn`; fully connected layers follow."""

    channels: Annotated[list[Width], Field(min_length=1, max_length=64)] = Field([16, 16, 16])
    kernel: Annotated[int, Field(ge=1, le=64)] = 4
    stride: Annotated[int, Field(ge=1, le=64)] = 1
    padding: Annotated[int, Field(ge=0, le=64)] = 0
    pool: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Side of the pooling windows after each activation; 1 is no pooling."
    )
    pooling: Literal["max", "average"] = "max"

    def sides(self, side: int) -> list[int]:
        """Sides of the maps in pixels: the input's, then each convolution's after pooling; 0 or less: none is left."""
        sides = [side]
        for _ in self.channels:
            sides.append(((sides[-1] + 2 * self.padding - self.kernel) // self.stride + 1) // self.pool)
        return sides


class TransformerSpec(SpecModel):
    """An encoder over image patches: embedding, blocks, and a linear readout of the mean token."""

    patch: Annotated[int, Field(ge=1, le=512)] = Field(4, description="Side of the patches in pixels.")
    width: Width = Field(32, description="Length of a token.")
    blocks: Annotated[int, Field(ge=1, le=64)] = 2
    heads: Annotated[int, Field(ge=1, le=64)] = 2
    expansion: Annotated[int, Field(ge=1, le=16)] = Field(2, description="Hidden width of the MLP over the token's.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "TransformerSpec":
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self


class ModelSpec(SpecModel):
    kind: Literal["mlp", "cnn", "committee", "transformer", "theory"] = Field(
        "mlp",
        description="`committee`: two layers with the scalings of statistical physics, sum_k v_k g(w_k x / sqrt(N)), "
        "learning rate lr for w and lr / N for v; `theory`: its equations of motion in the limit of many inputs, from "
        "the same initial overlaps.",
    )
    hidden: Annotated[list[Width], Field(min_length=0, max_length=256)] = Field(
        [64, 64], description="Widths of the fully connected hidden layers; for `committee` and `theory` one width K."
    )
    conv: ConvSpec = ConvSpec()
    transformer: TransformerSpec = TransformerSpec()
    activation: Activation = "tanh"
    bias: bool = False
    init: InitName = Field(
        "default",
        description="`default`: uniform on +-1/sqrt(fan_in), PyTorch's own; `uniform` on [-1, 1], `normal` and "
        "`orthogonal` (each layer on its own), times init_scale; `zero`; `aligned`: W_l along F_l F_(l-1)^T and the "
        "readout along F_(L-1)^T, rows of unit norm; `aligned_readout`: the readout alone.",
    )
    init_scale: Literal["inv_sqrt_fan_in", "inv_sqrt_fan_out"] | Annotated[float, Field(gt=0)] = Field(
        "inv_sqrt_fan_in", description="Multiplies uniform, normal and orthogonal weights."
    )
    init_seed: Seed | None = Field(None, description="Pins the weight-init stream; null follows the trial's seed.")

    @model_validator(mode="after")
    def _committee_has_one_hidden_layer(self) -> "ModelSpec":
        name = {"committee": "a committee", "theory": "the theory"}.get(self.kind)
        if name and len(self.hidden) != 1:
            raise ValueError(f"{name} has exactly one hidden layer")
        if name and self.bias:
            raise ValueError(f"{name} has no biases")
        return self
