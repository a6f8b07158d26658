"""How the learning signal reaches the hidden layers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.domain.spec.base import Seed, SpecModel, Width

RuleName = Literal["bp", "fa", "dfa", "shallow", "usf", "frsf", "brsf", "kp", "wm", "drtp"]

# Rules that send a signal down layer by layer, through matrices of the weights' shapes.
SEQUENTIAL_RULES = frozenset({"fa", "usf", "frsf", "brsf", "kp", "wm"})
# Rules that send a signal from the output straight to every layer.
DIRECT_RULES = frozenset({"dfa", "drtp"})


class FeedbackSpec(SpecModel):
    distribution: Literal[
        "uniform",
        "normal",
        "positive",
        "orthogonal",
        "orthogonal_across",
        "matched",
        "repeated",
        "svd",
        "nmf",
    ] = Field(
        "uniform",
        description="`uniform` on [-1, 1], standard `normal`, `positive`: uniform on [0, 1]; `orthogonal`: "
        "F_l^T F_l = 1 for each layer; `orthogonal_across`: the rows of all layers together orthonormal; `matched`: "
        "the initial weights that lead from the layer to the output. For direct feedback into convolutions and tokens: "
        "`repeated` over positions; into convolutions: `svd` and `nmf`, factors of the next layer's connectivity. For "
        "sequential feedback `orthogonal_across` is `orthogonal`; usf, frsf and brsf have magnitudes of their own.",
    )
    scale: (
        Literal["inv_sqrt_width", "inv_sqrt_max_width", "inv_sqrt_outputs", "unit_rows"] | Annotated[float, Field(gt=0)]
    ) = Field(
        "inv_sqrt_width",
        description="Multiplies the drawn entries of F_l: 1/sqrt(n_l), 1/sqrt(max_l n_l) as the authors' code, "
        "1/sqrt(n_L), or a number; `unit_rows`: each output's row to unit norm, then 1/sqrt(max_l n_l), as the "
        "authors' code for convolutions.",
    )
    rank: Width | None = Field(None, description="Feedback of at most this rank: a product of two drawn matrices.")
    values: Annotated[list[list[float]], Field(min_length=1, max_length=4096)] | None = Field(
        None, description="The feedback itself, one row per output, for networks of one hidden layer."
    )
    seed: Seed | None = Field(
        None,
        description="Pins the feedback stream, so that all seeds share one feedback; null follows the trial's seed.",
    )


class MirrorSpec(SpecModel):
    """Weight mirroring (Akrout et al. 2019), for rule `wm`: noise through each layer turns B_l towards W_l^T."""

    lr: Annotated[float, Field(gt=0)] = Field(0.01, description="Learning rate of B.")
    decay: Annotated[float, Field(ge=0, lt=1)] = Field(0.01, description="Of B at every mirror step, relative.")
    noise: Annotated[float, Field(gt=0)] = Field(1.0, description="Standard deviation of the noise.")
    batch: Annotated[int, Field(ge=1, le=4096)] = Field(32, description="Noise vectors per mirror step.")
    every: Annotated[int, Field(ge=1)] = Field(1, description="Training steps per mirror step.")


class SwitchSpec(SpecModel):
    to: RuleName
    at_step: Annotated[int, Field(ge=0)] = Field(description="The first update under the new rule, from 0.")


class PerturbationSpec(SpecModel):
    """Adds to every weight gradient a perturbation of `size` times its norm: a gradient misaligned on purpose."""

    size: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Cosine with the gradient, if random: 1/sqrt(1 + size^2)."
    )
    kind: Literal["random", "fixed"] = Field(
        "random", description="`random`: a fresh Gaussian direction each step; `fixed`: the all-ones direction."
    )


class RuleSpec(SpecModel):
    name: RuleName = Field(
        "dfa",
        description="bp; fa, dfa (feedback alignment, direct); shallow (only the output layer learns); usf, frsf, brsf "
        "(sign-symmetric feedback: uniform, fixed random, batchwise random magnitudes); kp (Kolen-Pollack); wm (weight "
        "mirror); drtp (direct random target projection).",
    )
    feedback: FeedbackSpec = FeedbackSpec()
    mirror: MirrorSpec = MirrorSpec()
    switch: SwitchSpec | None = Field(None, description="Another rule from some step on; it uses the same feedback.")
    perturbation: PerturbationSpec = PerturbationSpec()

    @model_validator(mode="after")
    def _switch_keeps_the_feedback(self) -> "RuleSpec":
        names = {self.name, self.switch.to} if self.switch else set()
        if not (names <= {"bp", "shallow", "fa"} or names <= {"bp", "shallow", "dfa"}) and self.switch:
            raise ValueError("switch goes between bp, shallow and one of fa and dfa")
        return self
