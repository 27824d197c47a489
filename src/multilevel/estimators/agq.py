"""Adaptive Gauss–Hermite quadrature: ``model.fit("agq")``, ``model.fit("agq", nodes=25)``.

    max over (β, θ, dispersion) of  Π_ℓ ∫ Π_{i∈ℓ} p(y_i | β, b) p(b | θ) db,   each integral by R nodes around its mode

The likelihood itself, to as many digits as there are nodes for; one node is Laplace's approximation. It serves models
whose grouping factors are nested in each other (one factor is the simplest case), with slopes and several predictors.
Crossed factors have no small integrals: use ``model.fit("laplace", order=2)``.

``nodes="auto"`` climbs 1, 5, 9, 15, 25, 41, 65, 101, 151 until the maximum of the log-likelihood moves by less than
1e-4; `estimates.notes` holds the nodes used and the log-likelihood at every rung.

A factor with k coefficients has about R^k points, nested factors multiply: quadrature is for k ≤ 3.

The gradient is that of the approximation, nodes included (`core/quadrature_levels.py`).

References: Pinheiro & Bates (1995), JCGS 4; Rabe-Hesketh, Skrondal & Pickles (2005), J. Econometrics 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..core.laplace import Laplace
from ..core.laplace_objective import LaplaceObjective
from ..core.one_factor import laplace
from ..core.quadrature import Quadrature, points
from ..core.quadrature_levels import chain_of
from ..errors import ConvergenceWarning, IdentifiabilityError, SettingError, printable
from ..fit.estimates import Estimates
from ..model.model import Model
from ..numerics.newton import minimise
from .approximate import maximise_approximation
from .base import Estimator, require_groups
from .limits import in_the_limit
from .maximise import Start, internal_theta
from .progress import ticker

LADDER = (5, 9, 15, 25, 41, 65, 101, 151)
SETTLED = 1e-4  # change of the log-likelihood from rung to rung
ROUGH = 1e-9  # Newton decrement of the searches before the last one
MOST_POINTS, MOST_AUTOMATIC = 50_000, 5_000  # of the rule for one level, on request and by itself
MOST_NODES = 200  # beyond it weights of the rule underflow


@dataclass(frozen=True)
class AGQ(Estimator):
    """Settings: `nodes` along each axis or ``"auto"``; `maxiter` and `start` as for ``"laplace"``."""

    linear_only: ClassVar[bool] = False
    nodes: int | str = "auto"
    maxiter: int = 200
    start: Start = None

    def check(self, model: Model) -> None:
        require_groups(model, "agq")
        whole = isinstance(self.nodes, int) and not isinstance(self.nodes, bool)
        if self.nodes != "auto" and not (whole and 1 <= int(self.nodes) <= MOST_NODES):
            raise SettingError(
                f"nodes={printable(repr(self.nodes))} is not possible",
                hint=f'Use a whole number from 1 to {MOST_NODES}, or "auto".',
            )
        if chain_of(model.rows) is None:
            raise IdentifiabilityError(
                f"quadrature needs grouping factors nested in each other, and {_labels(model)} cross",
                code="E_CROSSED_QUADRATURE",
                hint='Use "laplace" with order=2, and fit.adequacy() to see what the approximation costs.',
            )
        least = LADDER[0] if self.nodes == "auto" else int(self.nodes)
        if points(model.rows, least) > MOST_POINTS:
            raise IdentifiabilityError(
                f"{least} nodes along each axis are {points(model.rows, least):,} points a level",
                code="E_MANY_NODES",
                hint='Use fewer nodes or fewer coefficients by group, or "laplace" with order=2.',
            )

    def estimate(self, model: Model) -> Estimates:
        with np.errstate(all="ignore"):
            return in_the_limit(model, _first, self._maximise)

    def criterion(self, model: Model, notes: Mapping[str, Any]) -> Quadrature:
        """The deviance of a model with the nodes that a fit has noted."""
        return Quadrature(model.rows, model.distribution, model.scales, int(notes["nodes"]))

    def _maximise(self, model: Model, approximate: Laplace) -> Estimates:
        phi = approximate.start()
        if self.start is not None:
            phi[: approximate.n_theta] = internal_theta(model, approximate, self.start)
        phi, rung = self._rung(approximate, phi)
        ladder = {1: rung}
        if self.nodes == "auto":
            nodes, phi = self._climb(model, phi, ladder)
        else:
            nodes = int(self.nodes)
        criterion = Quadrature(model.rows, model.distribution, model.scales, nodes)
        found = maximise_approximation(model, criterion, _method(nodes), self.maxiter, None, phi)
        ladder[nodes] = found.log_likelihood
        steps = {str(r): value for r, value in ladder.items()}
        notes = {**found.notes, "nodes": nodes, "ladder": steps}
        warnings = (*found.warnings, *(_unsettled(ladder) if self.nodes == "auto" else ()))
        return replace(found, notes=notes, warnings=warnings)

    def _climb(self, model: Model, phi: np.ndarray, ladder: dict[int, float]) -> tuple[int, np.ndarray]:
        """The rung at which the log-likelihood settles, and the parameters there."""
        last = 1
        for nodes in LADDER:
            if nodes != LADDER[0] and points(model.rows, nodes) > MOST_AUTOMATIC:
                break
            criterion = Quadrature(model.rows, model.distribution, model.scales, nodes)
            phi, ladder[nodes] = self._rung(criterion, phi)
            if abs(ladder[nodes] - ladder[last]) < SETTLED:
                return nodes, phi
            last = nodes
        return last, phi

    def _rung(self, criterion: Laplace, phi: np.ndarray) -> tuple[np.ndarray, float]:
        """The optimum, close enough to go on from, and its log-likelihood."""
        phi, hessian, _ = criterion.search(phi, ROUGH)
        if hessian is not None:
            state = criterion.evaluate(phi)
        else:
            with ticker("AGQ") as tick:
                state, _ = minimise(
                    LaplaceObjective(criterion), phi, self.maxiter, tick, polish=False, tolerance=ROUGH
                )  # fmt: skip
        return state.theta, -0.5 * state.value


def _first(model: Model) -> Laplace:
    return laplace(model.rows, model.distribution, model.scales)


def _method(nodes: int) -> str:
    return f"adaptive Gauss–Hermite quadrature with {nodes} node{'s' if nodes > 1 else ''}"


def _labels(model: Model) -> str:
    return " and ".join(f'"{printable(f.label, 40)}"' for f in model.rows.factors[:3])


def _unsettled(ladder: dict[int, float]) -> tuple[ConvergenceWarning, ...]:
    """A warning where the last rung still moved the log-likelihood."""
    values = list(ladder.values())
    moved = abs(values[-1] - values[-2])
    if moved < SETTLED:
        return ()
    return (
        ConvergenceWarning(
            f"quadrature has not settled: from {list(ladder)[-2]} to {list(ladder)[-1]} nodes the log-likelihood moved "
            f"by {moved:.2g}",
            code="W_QUADRATURE",
            hint="Ask for more nodes, or simplify the group terms.",
        ),
    )


MEMBER = AGQ
