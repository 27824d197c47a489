"""The model: formula and data joined, checked, frozen.

y = Xβ + Σ_t Z_t b_t + ε,    b_t[ℓ] ~ N(0, Σ_t),    ε_i ~ N(0, σ²/w_i)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..data.tables import as_table
from ..errors import FormulaError, SettingError, printable
from ..families.base import Distribution, Observations
from ..formula.design import Design, build
from ..formula.formula import Formula
from ..formula.grammar import check_columns, parse
from ..registry import member, official
from ..scales.base import Scale
from . import validate
from .describe import default_estimator

if TYPE_CHECKING:
    from ..data.cross_products import CrossProducts
    from ..data.latent_rows import LatentRows
    from ..fit.fit import Fit
    from ..priors.record import Priors


MERGED = 3000  # rows up to which a fit takes milliseconds, and looking for equal rows does not pay


class Model:
    """A hierarchical model of a table.

    Parameters
    ----------
    formula : str, or list of str
        lme4/brms notation: ``"Reaction ~ Days + (Days | Subject)"``. Text is data: only columns, arithmetic and
        the listed functions, never names of the caller's scope. Further parameters of the family are predicted by
        parts of their own: ``"y ~ x + (1 | g); sigma ~ x"`` or ``["y ~ x + (1 | g)", "sigma ~ x"]``.
    data :
        pandas, polars or Arrow table, dict of arrays, list of dicts, path to CSV/TSV/Parquet/Feather, or
        ``duckdb:FILE#TABLE``. Rows with missing values in a used column are dropped once, counted and named.
    family, link : str
        ``"gaussian"`` with ``"identity"``, ``"binomial"`` with ``"logit"``, ``"poisson"`` with ``"log"``, … :
        every family and its links stand in `docs/families.md`.
    weights : str or array, optional
        Precisions: Var ε_i = σ²/w_i (as lme4), in families with a dispersion; the trials of a proportion ``k / n``.
        For frequencies write ``y | weights(w) ~ …`` (as brms).
    offset : str or array, optional
        Known part of the linear predictor (of the location).
    rank : {"drop", "raise"}
        What to do with fixed columns that are combinations of earlier ones.
    separation : {"warn", "raise"}
        What a fit does about coefficients of a discrete response that have no finite estimate: report them as ±inf
        with a `SeparationWarning`, or refuse.
    priors : str, dict or list, optional
        Of Bayesian estimators: a named set (``"brms"``, ``"rstanarm"``, ``"flat"``; our own otherwise), or priors by
        parameter: ``{"sd[school]": "exponential(1)", "beta[x]": "normal(0, 1)"}``; `model.priors` shows what is used.

    Raises
    ------
    FormulaError, DataError, ResponseError, WeightsError, IdentifiabilityError
        Before anything is estimated; each names the thing, the value and the remedy.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> model.groups
    {'school': 30}

    References
    ----------
    Gelman & Hill (2007), *Data Analysis Using Regression and Multilevel/Hierarchical Models*, chapters 11–13.
    """

    formula: Formula
    design: Design
    family: str
    link: str
    rank: str

    def __init__(
        self,
        formula: str | Sequence[str],
        data: Any,
        *,
        family: str = "gaussian",
        link: str | None = None,
        weights: Any = None,
        offset: Any = None,
        rank: str = "drop",
        separation: str = "warn",
        priors: Any = None,
    ) -> None:
        name = official("families", family)
        described = member("families", name)
        link = described.link(link)
        if rank not in ("drop", "raise"):
            raise SettingError(f'rank="{rank}" is unknown', hint='Use "drop" or "raise".')
        if separation not in ("warn", "raise"):
            raise SettingError(f'separation="{separation}" is unknown', hint='Use "warn" or "raise".')
        parsed = parse(formula if isinstance(formula, str) else "; ".join(formula))
        _rate_needs_log(parsed, link)
        table = as_table(data)
        check_columns(parsed, table.names)
        linear = described.is_gaussian and link == "identity" and plain(parsed)
        design = build(parsed, table, weights=weights, offset=offset, family=None if linear else (name, described))
        values: dict[str, Any] = {
            "formula": parsed,
            "design": design,
            "family": name,
            "link": link,
            "rank": rank,
            "separates": separation,
            "given_priors": priors,
            "native": table.native,
            "table": data,  # a reference: checks look for columns that the formula does not mention
        }
        self.__dict__.update(values)
        self.__dict__["warnings"] = (*design.warnings, *validate.model(self))
        if priors is not None:
            _ = self.priors  # refused here, if at all

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a model does not change: cannot set {name}")

    @property
    def native(self) -> str:
        """The kind of data frame its tables are made of (``"pandas"``, ``"polars"``, ``"arrow"``)."""
        return str(self.__dict__["native"])

    @property
    def separation(self) -> str:
        """``"warn"`` or ``"raise"``: what a fit does about infinite coefficients."""
        return str(self.__dict__.get("separates", "warn"))

    @property
    def warnings(self) -> tuple[Any, ...]:
        """What was noticed about data and formula before fitting."""
        return tuple(self.__dict__["warnings"])

    @property
    def groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {g.label: len(g.levels) for g in self.design.groups}

    @property
    def n_obs(self) -> int:
        return self.design.n

    @property
    def is_linear(self) -> bool:
        """Normal errors of one variance around Xβ + Zb: what REML and the other linear estimators need."""
        return self.design.observations is None

    @cached_property
    def distribution(self) -> Distribution:
        """The family with the links of all its linear predictors."""
        family = member("families", self.family)
        layout = self.design.layout
        if self.is_linear:
            return Distribution(family, (self.link, *(p.links[0] for p in family.further)))
        parameters = family.parameters(self.observations)
        return Distribution(family, (*[self.link] * len(layout.locations), *(p.links[0] for p in parameters)))

    @cached_property
    def observations(self) -> Observations:
        """The response of the rows used, as the family checked it."""
        design = self.design
        if design.observations is not None:
            return design.observations  # type: ignore[no-any-return]
        counts = design.weights if design.weights_kind == "frequency" else None
        return Observations(design.response, weights=counts, precision=None if counts is not None else design.weights)

    @cached_property
    def rows(self) -> LatentRows:
        """The rows as generalized linear models need them, in internal coordinates."""
        from ..data.latent_rows import latent_rows

        return latent_rows(self.design, self.distribution, self.rank, merge=self.design.n > MERGED)

    @property
    def dropped(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Fixed columns left out as redundant, each with the columns it depends on."""
        return self.products.dropped if self.is_linear else self.rows.dropped

    @cached_property
    def priors(self) -> Priors:
        """The priors that Bayesian estimators use, parameter by parameter, with the reason for each."""
        from .priors import resolve

        return resolve(self, self.__dict__.get("given_priors"))

    @property
    def priors_given(self) -> bool:
        """Whether priors were asked for, by a set's name or one by one."""
        return self.__dict__.get("given_priors") is not None

    def with_priors(self, priors: Any) -> Model:
        """The same model with other priors."""
        out = self.with_design(self.design)
        out.__dict__.update(given_priors=priors)
        out.__dict__.update({k: v for k, v in self.__dict__.items() if k in ("scales", "products", "rows", "table")})
        return out

    @cached_property
    def scales(self) -> tuple[Scale, ...]:
        """The covariance of each group term; one coefficient has a variance and nothing else."""
        return tuple(
            member("scales", "diagonal" if len(g.names) == 1 else g.scale)(
                len(g.names), **(dict(g.options) if len(g.names) > 1 and g.scale == "compound_symmetry" else {})
            )
            for g in self.design.groups
        )

    @cached_property
    def products(self) -> CrossProducts:
        """Cross-products of the data: all that a Gaussian estimator needs of the rows."""
        from ..data.cross_products import cross_products

        return cross_products(self.design, self.rank)

    def with_design(self, design: Design) -> Model:
        """The same model on other columns or rows; nothing is read or checked again."""
        out = type(self).__new__(type(self))
        made = ("scales", "products", "table", "distribution", "observations", "rows", "priors")
        kept = {name: value for name, value in self.__dict__.items() if name not in made}
        out.__dict__.update(kept, design=design)
        return out

    def fit(self, estimator: str | None = None, **settings: Any) -> Fit:
        """Estimate the model.

        Parameters
        ----------
        estimator : str, optional
            ``"reml"`` (default for Gaussian models with groups), ``"laplace"`` (default for other families),
            ``"complete"`` (default without groups), ``"ml"``, ``"agq"``, ``"none"``, ``"within"``,
            ``"james_stein"``, ``"moments"``.
        settings :
            Settings of that estimator, such as ``maxiter`` or ``start``.
        """
        from ..registry import make_estimator

        name = estimator or default_estimator(self)
        fit: Fit = make_estimator(name, settings).fit(self)
        return fit

    def __repr__(self) -> str:
        from .describe import describe

        return describe(self)


def plain(formula: Formula) -> bool:
    """Whether the response has one variance and is observed as it is: no further formula, censoring or truncation."""
    return not formula.further and all(name in ("weights", "se") for name, _ in formula.response.modifiers)


def _rate_needs_log(formula: Formula, link: str) -> None:
    for name, call in formula.response.modifiers:
        if name == "rate" and link != "log":
            raise FormulaError(
                f'{printable(call)} counts per unit, which the "{link}" link cannot divide by',
                code="E_FORMULA_FUNCTION",
                hint='Use link="log", or divide the response.',
                position=call.at,
            )
