"""Refits of one model to other responses, at the price of their searches.

Only y changes: X'Wy, Z'Wy and y'Wy of a whole batch of responses come from one pass over the rows, everything else of
the model (columns, pattern, workspace sizes) stays. Where fixed columns are so ill conditioned that their internal
form cannot be made again from the rows, the model is copied with the new response and fitted from its start.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.likelihood import Likelihood, State
from ..errors import ConvergenceError, IdentifiabilityError, MultilevelWarning
from ..numerics.newton import Progress
from ..numerics.threads import threads_for
from ..predictions.targets import matrix
from .criterion import criterion, minimum, with_products
from .parameters import Parameter, values
from .variants import variant

if TYPE_CHECKING:
    from ..formula.design import Design
    from ..model.model import Model

CLOSE = 1e-8  # relative error of X'WX made again from the rows, beyond which the cheap way is not taken
BATCH_BYTES = 2e8
VANISHED = 1e-6  # scaled gradient


@dataclass(frozen=True)
class Refit:
    """What one refit found: parameters in order, −2 log-likelihood, and whether the search ended at an optimum."""

    values: np.ndarray
    deviance: float
    converged: bool


class Responses:
    """Refits of a model by one criterion.

    Parameters
    ----------
    model : Model
    reml : bool
    names : tuple of Parameter
        What each refit reports.
    start : θ to begin each search at (that of the fit whose data are simulated), or None
    """

    def __init__(self, model: Model, reml: bool, names: tuple[Parameter, ...], start: np.ndarray | None = None) -> None:
        self.model, self.reml, self.names, self.start = model, reml, names, start
        self.likelihood = criterion(model, reml)
        design, products = model.design, model.products
        self.root = _root(design)
        x = matrix(design.fixed_columns, design.n)
        self.origin = x @ products.beta_origin
        self.x = self._weighted(x @ products.to_beta)
        self.z: list[np.ndarray] = []
        for group, to in zip(design.groups, products.to_effects, strict=True):
            self.z.append(self._weighted(matrix(group.columns, design.n) @ to))
        again, p = self.x.T @ self.x, products.p
        size = np.sqrt(np.outer(np.diag(again), np.diag(again)))
        self.cheap = bool(np.all(np.abs(again - products.xy[:p, :p]) <= CLOSE * size))

    def _weighted(self, columns: np.ndarray) -> np.ndarray:
        return columns if self.root is None else columns * self.root[:, None]

    @property
    def batch(self) -> int:
        """Responses worth holding at once."""
        return max(1, min(64, int(BATCH_BYTES / (16.0 * self.model.design.n))))

    def refits(self, responses: np.ndarray) -> Iterator[Refit]:
        """One refit for each row of `responses` (m, n)."""
        with threads_for(self.likelihood.elimination.pattern.nt):
            for first in range(0, len(responses), self.batch):
                part = responses[first : first + self.batch]
                yield from self._cheap(part) if self.cheap else map(self._plain, part)

    def _cheap(self, responses: np.ndarray) -> Iterator[Refit]:
        design, products = self.model.design, self.likelihood.products
        y = responses - self.origin if design.offset is None else responses - design.offset - self.origin
        y = np.ascontiguousarray(y.T) / products.y_shift.scale
        if self.root is not None:
            y *= self.root[:, None]
        xy, yy, crosses = self.x.T @ y, np.einsum("nm,nm->m", y, y), self._crosses(y)
        for i in range(y.shape[1]):
            yield self._search(self._likelihood(xy[:, i], float(yy[i]), [c[:, :, i] for c in crosses]))

    def _crosses(self, y: np.ndarray) -> list[np.ndarray]:
        """Z'Wy by factor, (L, k, m)."""
        from ..numerics.gram import add_levels

        out = []
        for factor in self.likelihood.products.factors:
            z = np.concatenate([self.z[t] for t, _, _ in factor.terms], axis=1)
            codes = np.require(self.model.design.groups[factor.terms[0][0]].codes, np.int32, ["C", "W"])
            panel = np.ascontiguousarray(np.concatenate([z, y], axis=1))
            cross = np.zeros((factor.n_levels, factor.k, y.shape[1]))
            k = factor.k
            add_levels(panel, codes, np.arange(k), np.arange(k, panel.shape[1]), np.zeros_like(factor.gram), cross)
            out.append(cross)
        return out

    def _likelihood(self, xy: np.ndarray, yy: float, crosses: list[np.ndarray]) -> Likelihood:
        products, pattern = self.likelihood.products, self.likelihood.elimination.pattern
        p = products.p
        whole = products.xy.copy()
        whole[:p, p] = whole[p, :p] = xy
        whole[p, p] = yy
        border = pattern.border.copy()
        filled = []
        for f, (factor, cross) in enumerate(zip(products.factors, crosses, strict=True)):
            new = factor.cross.copy()
            new[:, :, p] = cross
            filled.append(new)
            if f in pattern.trail:
                index = pattern.place[pattern.trail.index(f)][:, None] + np.arange(factor.k)
                border[index, p] = cross
        return with_products(self.likelihood, whole, filled, border)

    def _search(self, likelihood: Likelihood) -> Refit:
        try:
            state, progress = minimum(likelihood, self.start)
            if not _ended(progress) and self.start is not None:
                state, progress = minimum(likelihood)
        except np.linalg.LinAlgError:
            return Refit(np.full(len(self.names), np.nan), np.nan, False)
        return self._read(likelihood, state, progress)

    def _read(self, likelihood: Likelihood, state: State, progress: Progress) -> Refit:
        if state.solution is None or not np.isfinite(state.value):
            return Refit(np.full(len(self.names), np.nan), np.nan, False)
        found = values(self.model, likelihood, state, self.names)
        return Refit(found, likelihood.external_value(state.value), _ended(progress))

    def _plain(self, response: np.ndarray) -> Refit:
        """The whole way: a model with that response, its cross-products from the rows."""
        model = variant(self.model, response=response)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MultilevelWarning)
                likelihood = criterion(model, self.reml)
                state, progress = minimum(likelihood)
        except (np.linalg.LinAlgError, ConvergenceError, IdentifiabilityError):
            return Refit(np.full(len(self.names), np.nan), np.nan, False)
        return self._read(likelihood, state, progress)


def _ended(progress: Progress) -> bool:
    """Whether the gradient vanished, be it while a variance was still taken to zero and back."""
    return progress.converged or progress.scaled_gradient < VANISHED


def _root(design: Design) -> np.ndarray | None:
    """Square roots of the rows' precisions, or None when all are one."""
    if design.weights is None and design.known_se is None:
        return None
    weights = np.ones(design.n) if design.weights is None else design.weights
    return np.sqrt(weights if design.known_se is None else weights / design.known_se**2)
