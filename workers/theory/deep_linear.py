"""Alignment matrices of deep linear networks that start from zero weights under direct feedback alignment.

With e = yhat - y and updates W_l -= eta F_l e h_(l-1)^T, W_L -= eta e h_(L-1)^T, the weights keep the form ("weak"
weight alignment; Refinetti et al. 2021, Sec. 3)

    W_1 = F_1 A_1,   W_l = F_l A_l F_(l-1)^T (1 < l < L),   W_L = A_L F_(L-1)^T

since h_l = F_l z_l with z_1 = A_1 x and z_l = A_l G_(l-1) z_(l-1), G_l = F_l^T F_l: so the updates of W_l are those of

    A_1 -= eta e x^T,   A_l -= eta e z_(l-1)^T,   yhat = A_L G_(L-1) z_(L-1) .

A_l close to a multiple of the identity for l > 1 is "strong" alignment: W_l along F_l F_(l-1)^T.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class AlignmentMatrices:
    """A_1 (n_L, n_0) and A_l (n_L, n_L), l = 2, ..., L, at index l - 1; zero at first.

    `feedback`: F_l (n_l, n_L), l = 1, ..., L - 1.
    """

    def __init__(self, feedback: Sequence[Array], inputs: int) -> None:
        outputs = feedback[0].shape[1]
        self._feedback = list(feedback)
        self._grams = [F.T @ F for F in feedback]
        self.A: list[Array] = [np.zeros((outputs, inputs)), *(np.zeros((outputs, outputs)) for _ in feedback)]

    def outputs(self, x: Array) -> Array:
        """yhat (n, n_L) for samples x (n, n_0)."""
        return self._signals(x)[-1]

    def update(self, x: Array, y: Array, lr: float) -> None:
        """One step on the squared error, halved and summed over a batch x (n, n_0), y (n, n_L)."""
        z = self._signals(x)
        e = z[-1] - y
        for A, below in zip(self.A, (x, *z), strict=False):
            A -= lr * e.T @ below

    def weights(self) -> list[Array]:
        """W_l (n_l, n_(l-1)), l = 1, ..., L."""
        left = [*self._feedback, np.eye(len(self.A[0]))]
        right = [np.eye(self.A[0].shape[1]), *self._feedback]
        return [F @ A @ below.T for F, A, below in zip(left, self.A, right, strict=True)]

    def identity(self) -> list[float]:
        """tr(A_l) / (norm(A_l) sqrt(n_L)) for l = 2, ..., L: 1 for a positive multiple of the identity, and with
        orthonormal feedback (G = 1) the weight alignment of layer l. NaN where A_l is zero."""
        norms = [np.linalg.norm(A) * len(A) ** 0.5 for A in self.A[1:]]
        return [float(np.trace(A) / n) if n else np.nan for A, n in zip(self.A[1:], norms, strict=True)]

    def conditions(self) -> list[float]:
        """Condition number of A_l for l = 2, ..., L; infinite or NaN where A_l is singular."""
        return [float(np.linalg.cond(A)) for A in self.A[1:]]

    def _signals(self, x: Array) -> list[Array]:
        """z_1, ..., z_L (n, n_L)."""
        z = [x @ self.A[0].T]
        for A, G in zip(self.A[1:], self._grams, strict=True):
            z.append(z[-1] @ G.T @ A.T)
        return z
