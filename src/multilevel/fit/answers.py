"""What a fit answers through the rooms above it: variance shares, predictions, tests, checks.

Each method is a door: the work and its documentation are in the file that it imports when called. `Fit` inherits
them, so that its own file holds what the fit is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import SettingError, printable


class Answers:
    """Methods of `Fit` that lead to other rooms."""

    def _frame(self: Any, columns: Mapping[str, Any]) -> Any:
        from ..data.frames import frame

        return frame(self.model.native, columns)

    # --- variance ------------------------------------------------------------------------------------------------
    def shrinkage(self: Any) -> Any:
        """Table of the weight of each level's own data: group, level, n, lambda (0 complete pooling, 1 none)."""
        from ..variance.shrinkage import shrinkage

        return self._frame(shrinkage(self))

    def icc(self: Any, kind: str = "share", scale: str = "link") -> dict[str, float]:
        """Intraclass correlation of each grouping factor; see `variance.icc`.

        Parameters
        ----------
        kind : {"share", "correlation"}
            The part of the variance at that level, or the correlation of two rows in the same level of it
            (for nested groups, that of a class includes what its school contributes).
        scale : {"link", "delta", "trigamma", "response"}
            Of generalized models, see `variance.scales`.
        """
        from ..variance.icc import icc

        return icc(self, kind, scale)

    def _rough_icc(self: Any, draws: int) -> dict[str, float]:
        """The same of a sampled fit from few of its draws: enough to see that a share is small."""
        from ..variance.from_draws import icc
        from ..variance.scales import check_scale

        return icc(self, "share", check_scale(self, "link"), draws)

    def median_ratio(self: Any) -> Any:
        """Table of median odds or rate ratios between groups (logit, log): group, kind, estimate, lower, upper."""
        from ..variance.median_ratio import median_ratio

        return self._frame(median_ratio(self))

    def icc_table(self: Any) -> Any:
        """Table of both intraclass correlations with intervals: group, kind, estimate, lower, upper."""
        from ..variance.shares import icc_table

        return self._frame(icc_table(self))

    def icc_along(self: Any, term: str | None = None, values: Any = None, group: str | None = None) -> Any:
        """Table of the ICC along a predictor whose slope varies: value, icc, lower, upper."""
        from ..variance.along import icc_along

        return self._frame(icc_along(self, term, values, group))

    def variance_shares(self: Any) -> Any:
        """Table of where the variance sits: component, variance, share, lower, upper."""
        from ..variance.shares import shares

        return self._frame(shares(self))

    def r2(self: Any, by: str = "all", scale: str = "link") -> dict[str, float]:
        """R²: ``{"marginal", "conditional"}`` (Nakagawa), or with ``by="level"`` the part of each level's variance
        that predictors explain; `variance.r2` has intervals."""
        from ..variance import r2 as rooms

        if by not in ("all", "level"):
            raise SettingError(f'unknown by="{printable(by)}"', hint='Use "all" or "level".')
        return rooms.r2(self, scale) if by == "all" else rooms.r2_levels(self)

    def design_effect(self: Any) -> Any:
        """Table of what clustering costs a mean: group, n_mean, icc, design_effect, effective_n."""
        from ..variance.design_effect import design_effect

        return self._frame(design_effect(self))

    @property
    def effective_parameters(self: Any) -> float:
        """Trace of the hat matrix: fixed effects plus what the shrunken effects use."""
        from ..variance.effective import effective_parameters

        return effective_parameters(self)

    def pooling_factor(self: Any) -> dict[tuple[str, str], float]:
        """Gelman and Pardoe's pooling factor of each (group, term): 0 is no pooling, 1 is complete."""
        from ..variance.effective import pooling_factor

        return pooling_factor(self)

    def moved(self: Any, group: str | None = None) -> Any:
        """Table of the levels that pooling moved, farthest first, with the reasons: size, distance, noise."""
        from ..variance.moved import moved

        return self._frame(moved(self, group))

    # --- rows ----------------------------------------------------------------------------------------------------
    def predict(self: Any, new_data: Any = None, **settings: Any) -> Any:
        """Predictions with intervals: ``predict(new_data, target="conditional", kind="mean", interval=0.95)``.

        See `predictions.targets.predict` for targets and kinds.
        """
        from ..predictions.targets import predict

        return predict(self, new_data, **settings)

    def _fitted_means(self: Any) -> np.ndarray:
        from ..predictions.residuals import fitted_means

        return fitted_means(self)

    def _generalized_residuals(self: Any, kind: str) -> np.ndarray:
        from ..predictions.residuals import residuals

        return residuals(self, kind)

    def simulate(self: Any, draws: int = 1, **settings: Any) -> np.ndarray:
        """Responses simulated from the fitted model, (draws, n): ``simulate(100, seed=1, target="new_group")``."""
        from ..predictions.simulation import simulate

        return simulate(self, draws, **settings)

    def update_groups(self: Any, rows: Any, **settings: Any) -> Any:
        """What a few new rows say about their groups, known or new, without refitting; `.table`, `.predict(new_data)`.

        See `predictions.update.update_groups`.
        """
        from ..predictions.update import update_groups

        return update_groups(self, rows, **settings)

    # --- inference -------------------------------------------------------------------------------------------------
    def profile(self: Any, level: float = 0.95, **settings: Any) -> Any:
        """Profile likelihood of every parameter, with its intervals; see `inference.profile.profile`."""
        from ..inference.profile import profile

        return profile(self, level, **settings)

    def bootstrap(self: Any, n: int = 500, **settings: Any) -> Any:
        """Parametric bootstrap of every parameter; see `inference.bootstrap.bootstrap`."""
        from ..inference.bootstrap import bootstrap

        return bootstrap(self, n, **settings)

    def test(self: Any, term: str | None = None, **settings: Any) -> Any:
        """A test of every term: F tests of fixed ones, likelihood-ratio tests of random ones; see `inference.terms`."""
        from ..inference.terms import term_tests

        return term_tests(self, term, **settings)

    def hypothesis(self: Any, *statements: Any, **settings: Any) -> Any:
        """Posterior probability of statements such as ``"x > 0"``; see `inference.hypothesis.hypothesis`."""
        from ..inference.hypothesis import hypothesis

        return hypothesis(self, *statements, **settings)

    def compare(self: Any, *others: Any, **settings: Any) -> Any:
        """This fit beside others; see `inference.compare.compare`."""
        from ..inference.compare import compare

        return compare(self, *others, **settings)

    # --- draws -----------------------------------------------------------------------------------------------------
    def diagnostics(self: Any, effects: bool = True) -> Any:
        """How good the draws of a sampled fit are; see `fit.diagnosed.diagnostics`."""
        from .diagnosed import diagnostics

        return diagnostics(self, effects)

    def to_arviz(self: Any, **settings: Any) -> Any:
        """The draws as an ArviZ DataTree: ``to_arviz(posterior_predictive=True)``; see `fit.arviz.to_arviz`."""
        from .arviz import to_arviz

        return to_arviz(self, **settings)

    # --- scores and checks -----------------------------------------------------------------------------------------
    def loo(self: Any, refit: bool = False) -> Any:
        """Leave-one-out score; see `checks.loo.loo`."""
        from ..checks.loo import loo

        return loo(self, refit)

    def logo(self: Any, group: str | None = None, refit: bool = False) -> Any:
        """Leave-one-group-out score; see `checks.logo.logo`."""
        from ..checks.logo import logo

        return logo(self, group, refit)

    def influence(self: Any, group: str | None = None, **settings: Any) -> Any:
        """What leaving each group (or row) out changes; see `checks.influence.influence`."""
        from ..checks.influence import influence

        return influence(self, group, **settings)

    def adequacy(self: Any) -> Any:
        """How good Laplace's approximation (or the quadrature) behind this fit is; see `checks.adequacy.adequacy`."""
        from ..checks.adequacy import adequacy

        return adequacy(self)

    def _approximation(self: Any) -> Any:
        """Its adequacy where that deserves a remark in the summary, or None; see `checks.adequacy.remark`."""
        from ..checks.adequacy import remark

        return remark(self)

    def check(self: Any, **settings: Any) -> Any:
        """Every check that applies, worst first; see `checks.check.check`."""
        from ..checks.check import check

        return check(self, **settings)
