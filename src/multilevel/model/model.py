"""The model: formula and data joined, checked, frozen.

    y = Xβ + Σ_t Z_t b_t + ε,    b_t[ℓ] ~ N(0, Σ_t),    ε_i ~ N(0, σ²/w_i)
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..data.tables import as_table
from ..errors import SettingError
from ..formula.design import Design, build
from ..formula.formula import Formula
from ..formula.grammar import check_columns, parse
from ..registry import member
from ..scales.base import Scale
from . import validate

if TYPE_CHECKING:
    from ..data.cross_products import CrossProducts
    from ..fit.fit import Fit


class Model:
    """A hierarchical model of a table.

    Parameters
    ----------
    formula : str
        lme4/brms notation: ``"Reaction ~ Days + (Days | Subject)"``. Text is data: only columns, arithmetic and
        the listed functions, never names of the caller's scope.
    data :
        pandas, polars or Arrow table, dict of arrays, list of dicts, path to CSV/TSV/Parquet/Feather, or
        ``duckdb:FILE#TABLE``. Rows with missing values in a used column are dropped once, counted and named.
    family, link : str
        ``"gaussian"`` with ``"identity"``.
    weights : str or array, optional
        Precisions: Var ε_i = σ²/w_i (as lme4). For frequencies write ``y | weights(w) ~ …`` (as brms).
    offset : str or array, optional
        Known part of the linear predictor.
    rank : {"drop", "raise"}
        What to do with fixed columns that are combinations of earlier ones.

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
        formula: str,
        data: Any,
        *,
        family: str = "gaussian",
        link: str | None = None,
        weights: Any = None,
        offset: Any = None,
        rank: str = "drop",
    ) -> None:
        described = member("families", family)
        if rank not in ("drop", "raise"):
            raise SettingError(f'rank="{rank}" is unknown', hint='Use "drop" or "raise".')
        parsed = parse(formula)
        table = as_table(data)
        check_columns(parsed, table.names)
        design = build(parsed, table, weights=weights, offset=offset)
        values: dict[str, Any] = {
            "formula": parsed,
            "design": design,
            "family": family,
            "link": described.link(link),
            "rank": rank,
            "native": table.native,
            "table": data,  # a reference: checks look for columns that the formula does not mention
        }
        self.__dict__.update(values)
        self.__dict__["warnings"] = (*design.warnings, *validate.model(self))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a model does not change: cannot set {name}")

    @property
    def native(self) -> str:
        """The kind of data frame its tables are made of (``"pandas"``, ``"polars"``, ``"arrow"``)."""
        return str(self.__dict__["native"])

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
        kept = {name: value for name, value in self.__dict__.items() if name not in ("scales", "products", "table")}
        out.__dict__.update(kept, design=design)
        return out

    def fit(self, estimator: str | None = None, **settings: Any) -> Fit:
        """Estimate the model.

        Parameters
        ----------
        estimator : str, optional
            ``"reml"`` (default for Gaussian models with groups), ``"ml"``, ``"complete"`` (default without groups),
            ``"none"``, ``"within"``, ``"james_stein"``, ``"moments"``.
        settings :
            Settings of that estimator, such as ``maxiter`` or ``start``.
        """
        from ..registry import make_estimator

        name = estimator or ("reml" if self.design.groups else "complete")
        fit: Fit = make_estimator(name, settings).fit(self)
        return fit

    def __repr__(self) -> str:
        from .describe import describe

        return describe(self)
