"""What a trial learns from: images, arrays of the operator, or samples drawn from a distribution."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from services.domain.spec.base import Seed, SpecModel, Width

ImageName = Literal["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"]
DataName = Literal[ImageName, "folder", "npz", "regression", "teacher"]
Samples = Annotated[int, Field(ge=1, le=100_000_000)]


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What is known of a set of images without loading it; `side` is height and width in pixels."""

    channels: int
    side: int
    classes: int
    train_samples: int
    test_samples: int


IMAGES: dict[str, ImageFacts] = {
    "digits": ImageFacts(channels=1, side=8, classes=10, train_samples=1437, test_samples=360),
    "mnist": ImageFacts(channels=1, side=28, classes=10, train_samples=60_000, test_samples=10_000),
    "fashion_mnist": ImageFacts(channels=1, side=28, classes=10, train_samples=60_000, test_samples=10_000),
    "cifar10": ImageFacts(channels=3, side=32, classes=10, train_samples=50_000, test_samples=10_000),
    "cifar100": ImageFacts(channels=3, side=32, classes=100, train_samples=50_000, test_samples=10_000),
}
_REGRESSION_INPUTS, _REGRESSION_SAMPLES, _TEACHER_INPUTS, _RANDOM_TEST_SAMPLES = 9, 992, 500, 2000

# A file or folder under the data root of the workers: relative, no way out of the root.
DataPath = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^/\\\x00-\x1f][^\\\x00-\x1f]*$")]


class TeacherSpec(SpecModel):
    """The two-layer network whose outputs are learned (data `teacher`): y = sum_m A_m g(B_m x / sqrt(N))."""

    hidden: Annotated[int, Field(ge=1, le=1024)] = Field(2, description="Hidden units M.")
    activation: Literal["erf", "relu", "linear"] = "erf"
    second_layer: Annotated[list[float], Field(min_length=1, max_length=1024)] | float | Literal["normal"] = Field(
        1.0, description="The weights A: a list of M, one number for all, or drawn from a standard `normal`."
    )
    seed: Seed | None = Field(None, description="Pins the teacher; null follows the trial's seed.")

    @model_validator(mode="after")
    def _one_weight_per_unit(self) -> "TeacherSpec":
        if isinstance(self.second_layer, list) and len(self.second_layer) != self.hidden:
            raise ValueError(f"second_layer has {len(self.second_layer)} weights for {self.hidden} hidden units")
        return self


class DataSpec(SpecModel):
    name: DataName = Field(
        "digits",
        description="Images (`digits` needs no network and no download); `folder`: one folder of images per class, "
        "under train/ and test/; `npz`: arrays x_train, y_train, x_test, y_test; `regression`: Gaussian inputs and "
        "two independent, correlated Gaussian targets; `teacher`: fresh Gaussian inputs at every step, labelled by a "
        "two-layer network.",
    )
    path: DataPath | None = Field(None, description="Of a `folder` or `npz`, relative to the workers' data root.")
    size: Annotated[int, Field(ge=1, le=512)] | None = Field(
        None, description="Height and width in pixels to resize every channel to; null keeps the original."
    )
    standardise: Literal["by_train", "by_split", "none"] = Field(
        "by_train",
        description="Subtract one mean and divide by one deviation over all pixels and channels: those of the training "
        "split, or of each split (the authors' code); `none` divides pixels by 255 and leaves arrays alone.",
    )
    classes: Annotated[int, Field(ge=2, le=100_000)] | None = Field(
        None, description="Merge classes: labels are taken modulo this number. Required for `folder` and `npz`."
    )
    inputs: Width | None = Field(
        None, description="Input dimension N of `npz`, `regression` and `teacher` (9 and 500 unless given)."
    )
    train_samples: Samples | None = Field(
        None,
        description="Use only the first so many training samples; null uses all. How many to draw for `regression` "
        "(992 unless given). Required for `folder` and `npz`.",
    )
    test_samples: Samples | None = Field(
        None, description="Use only the first so many test samples; how many to draw of random data (2000 unless given)"
    )
    label_noise: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Probability that a label is redrawn uniformly over all classes."
    )
    label_noise_on: Literal["train", "both"] = Field(
        "train", description="Which splits the noise touches; `both` is what the authors' code does."
    )
    label_noise_seed: Seed | None = Field(
        None, description="Pins the label-noise stream; null follows the trial's seed."
    )
    alpha: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Of `regression`: standard deviation of the second target relative to the first."
    )
    beta: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="Of `regression`: one minus the correlation coefficient of the two targets."
    )
    noise: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Standard deviation of Gaussian noise on the targets of `regression` and `teacher`."
    )
    spectrum: Annotated[float, Field(ge=0, le=10)] | Annotated[list[float], Field(min_length=1)] = Field(
        0.0,
        description="Covariance of random inputs, diagonal: eigenvalues proportional to i^-spectrum, or to this list, "
        "with mean 1; 0 is isotropic.",
    )
    teacher: TeacherSpec = TeacherSpec()
    seed: Seed | None = Field(
        None, description="Pins the samples of `regression` and `teacher`; null follows the trial's seed."
    )

    @field_validator("path")
    @classmethod
    def _stays_under_the_root(cls, path: str | None) -> str | None:
        if path is not None and ".." in path.split("/"):
            raise ValueError("a path must not contain ..")
        if path is not None and "://" in path:
            raise ValueError("a path is not a URL: files are read from the workers' data root")
        return path

    @field_validator("spectrum")
    @classmethod
    def _eigenvalues_are_positive(cls, spectrum: float | list[float]) -> float | list[float]:
        if isinstance(spectrum, list) and (min(spectrum) < 0 or max(spectrum) == 0):
            raise ValueError("eigenvalues must not be negative, nor all zero")
        return spectrum

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "DataSpec":
        own_data = self.name in ("folder", "npz")
        if own_data != (self.path is not None):
            raise ValueError("path belongs to folder and npz, and they need it")
        if own_data and (self.classes is None or self.train_samples is None):
            raise ValueError(f"{self.name} needs classes and train_samples: the plan is made without the data")
        if self.name == "folder" and self.size is None:
            raise ValueError("folder needs size, the height and width of its images after resizing")
        if self.name == "npz" and self.inputs is None:
            raise ValueError("npz needs inputs, the length of one sample")
        if isinstance(self.spectrum, list) and len(self.spectrum) != self.random_inputs:
            raise ValueError(f"spectrum has {len(self.spectrum)} eigenvalues for {self.random_inputs} inputs")
        return self

    @property
    def is_random(self) -> bool:
        """Drawn from a distribution; each trial has samples of its own."""
        return self.name in ("regression", "teacher")

    @property
    def random_inputs(self) -> int:
        """Input dimension of random data."""
        return self.inputs or (_REGRESSION_INPUTS if self.name == "regression" else _TEACHER_INPUTS)

    @property
    def image(self) -> tuple[int, int] | None:
        """(channels, side in pixels) of images; None for other data."""
        if self.name == "folder":
            assert self.size is not None
            return 3, self.size
        facts = IMAGES.get(self.name)
        return None if facts is None else (facts.channels, self.size or facts.side)

    @property
    def input_count(self) -> int:
        """n_0: numbers in one sample."""
        if self.image is not None:
            channels, side = self.image
            return channels * side * side
        return self.inputs or self.random_inputs

    @property
    def output_count(self) -> int:
        """n_L: classes, or real targets."""
        match self.name:
            case "regression":
                return 2
            case "teacher":
                return 1
            case _:
                return self.classes or IMAGES[self.name].classes

    @property
    def train_count(self) -> int:
        """Training samples of one epoch; of online data, as many steps as inputs."""
        if self.name == "teacher":
            return self.input_count
        known = IMAGES.get(self.name)
        if known is not None:
            return min(known.train_samples, self.train_samples or known.train_samples)
        return self.train_samples or _REGRESSION_SAMPLES

    @property
    def test_count(self) -> int:
        """Test samples asked for, or known to exist."""
        known = IMAGES.get(self.name)
        if known is not None:
            return min(known.test_samples, self.test_samples or known.test_samples)
        return self.test_samples or _RANDOM_TEST_SAMPLES
