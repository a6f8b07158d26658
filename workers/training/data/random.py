"""Random data: correlated regression, and the outputs of a two-layer teacher."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.domain.spec import DataSpec, TrialSpec
from workers.training.streams import Purpose, stream, stream_of

Array = npt.NDArray[np.float64]


def input_deviations(spec: DataSpec) -> Array:
    """Square roots of the eigenvalues of the input covariance, (N,); the eigenvalues have mean 1."""
    n = spec.random_inputs
    match spec.spectrum:
        case list():
            eigenvalues = np.asarray(spec.spectrum, dtype=np.float64)
        case exponent:
            eigenvalues = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    deviations: Array = np.sqrt(eigenvalues / eigenvalues.mean())
    return deviations


def regression(trial: TrialSpec, split: str, count: int) -> tuple[Array, Array]:
    """Inputs (count, N) and, independent of them, targets (count, 2) with covariance
    [[1, a (1 - b)], [a (1 - b), a^2]] for alpha a and beta b, plus noise (Refinetti et al. 2021, data structure)."""
    spec = trial.config.data
    generator = stream_of(trial, Purpose.SAMPLES, split)
    x = generator.normal(size=(count, spec.random_inputs)) * input_deviations(spec)
    z = generator.normal(size=(count, 2))
    correlation = 1 - spec.beta
    second = spec.alpha * (correlation * z[:, 0] + math.sqrt(1 - correlation**2) * z[:, 1])
    y = np.stack([z[:, 0], second], axis=1)
    return x, y + spec.noise * generator.normal(size=y.shape)


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """y = sum_m A_m g(B_m x / sqrt(N)) + noise (Refinetti et al. 2021, Sec. 2). `B` (M, N), `A` (M,)."""

    B: Array
    A: Array
    activation: str
    noise: float

    @classmethod
    def of(cls, trial: TrialSpec) -> "Teacher":
        spec = trial.config.data
        teacher = spec.teacher
        generator = stream_of(trial, Purpose.TEACHER)
        B = generator.normal(size=(teacher.hidden, spec.random_inputs))
        match teacher.second_layer:
            case "normal":
                A = generator.normal(size=teacher.hidden)
            case list():
                A = np.asarray(teacher.second_layer, dtype=np.float64)
            case number:
                A = np.full(teacher.hidden, float(number))
        return cls(B=B, A=A, activation=teacher.activation, noise=spec.noise)

    def outputs(self, x: Array) -> Array:
        """Without noise: (n, 1) for inputs (n, N)."""
        fields = x @ self.B.T / math.sqrt(self.B.shape[1])
        match self.activation:
            case "erf":
                from scipy.special import erf

                g = erf(fields / math.sqrt(2))
            case "relu":
                g = np.maximum(fields, 0)
            case _:
                g = fields
        outputs: Array = (g @ self.A)[:, None]
        return outputs

    def samples(self, trial: TrialSpec, index: str, count: int, *, noisy: bool = True) -> tuple[Array, Array]:
        """Fresh inputs (count, N) of the trial's own stream, and their outputs (count, 1)."""
        generator = stream_of(trial, Purpose.SAMPLES, index)
        x = generator.standard_normal((count, self.B.shape[1]), dtype=np.float32) * input_deviations(trial.config.data)
        y = self.outputs(x)
        return x, y + self.noise * generator.normal(size=y.shape) if noisy and self.noise else y


def evaluation_inputs(spec: DataSpec, split: str, count: int) -> Array:
    """Inputs (count, N) that all trials are evaluated on."""
    x: Array = stream(0, Purpose.SAMPLES, split).normal(size=(count, spec.random_inputs)) * input_deviations(spec)
    return x
