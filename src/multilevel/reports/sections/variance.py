"""Where the variance is: shares of every level with intervals, R², design effect, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from ...glossary import RESIDUAL
from ..context import Context, guarded
from ..figures.shares import shares as figure
from ..markup import Column, Html, bullets, coverage, join, number, paragraph, percent, span, table, tag, user

HEADING = "Where the variance is"
QUICK = ("auto", "collapsed")  # samplers that may run again for the linear model without predictors


@dataclass(frozen=True)
class Share:
    """One level's share of the variance, its interval (NaN where there is none), and the correlation of two rows."""

    group: str
    share: float
    lower: float
    upper: float
    correlation: float = float("nan")

    @property
    def interval(self) -> str:
        return "—" if self.lower != self.lower else f"{percent(self.lower)} to {percent(self.upper)}"


def build(context: Context) -> Html:
    """The shares as a bar and a table, then what the model explains and what clustering costs."""
    if len(context.fit.model.design.layout.locations) > 1:
        return paragraph("Each category has a linear predictor of its own, so that there is no single variance to "
                         "divide: see the standard deviations above, category by category.")  # fmt: skip
    explained = guarded(_explained, context, "R²")
    if not context.population:
        return join(paragraph(context.no_population), explained)
    cost = guarded(_design_effect, context, "The design effect")
    return join(guarded(_shares, context, "The shares of variance"), explained, cost)


def icc_rows(context: Context) -> list[Share]:
    """Share of each grouping factor in the variance that is left after the fixed effects."""
    from ...variance.shares import icc_table

    found = icc_table(context.fit)
    rows = list(zip(*(list(found[name]) for name in ("group", "kind", "estimate", "lower", "upper")), strict=True))
    both = {group: float(value) for group, kind, value, _, _ in rows if kind == "correlation"}
    return [
        Share(group, float(value), float(low), float(high), both[group])
        for group, kind, value, low, high in rows if kind == "share"
    ]  # fmt: skip


# --- shares ------------------------------------------------------------------------------------------------------
def _shares(context: Context) -> Html:
    from ...variance.words import icc_sentences

    rows = icc_rows(context)
    inside = _inside(context)
    nested = any(r.correlation > r.share + 1e-9 for r in rows)
    heads = [Column("Level", False), Column("Share of variance"), Column(f"{coverage(context.fit.level)} interval")]
    heads += [Column("Correlation", help="of two rows in the same level: what contains it is shared too")] * nested
    cells = [[_named(r.group, i), percent(r.share), r.interval] for i, r in enumerate(rows)]
    for cell, r in zip(cells, rows, strict=True):
        cell += [number(r.correlation, 0.1)] * nested
    cells.append([_named("within all groups", None), percent(inside.share), inside.interval, *([""] * nested)])
    bar = figure([*((r.group, r.share) for r in rows), ("within", inside.share)])
    said = bullets(user(sentence, 400) for sentence in icc_sentences(context.fit))
    text = "Shares of the variance that the fixed effects leave over."
    if not context.fit.model.is_linear:
        text = "Shares of the variance on the scale of the link, where a row has the variance of its family (Nakagawa)."
    ratios = guarded(_median_ratios, context, "The median ratio between groups")
    return join(bar, table(heads, cells), paragraph(text, class_="note"), said, ratios)


def _median_ratios(context: Context) -> Html | None:
    """How far two levels differ, typically, as a ratio."""
    if context.fit.model.is_linear or context.fit.model.link not in ("logit", "log"):
        return None
    from ...variance.median_ratio import median_ratio

    found = median_ratio(context.fit)
    what = "odds" if context.fit.model.link == "logit" else "mean"
    said = [
        join("Of two levels of ", tag("b", user(group, 40)), " taken at random, the higher has typically "
             f"{number(value)} times the {what} of the lower ({span(low, high, (high - low) / 4.0)}).")
        for group, value, low, high in zip(*(found[c] for c in ("group", "estimate", "lower", "upper")), strict=True)
    ]  # fmt: skip
    return bullets(said) if said else None


def _inside(context: Context) -> Share:
    """What is within all groups."""
    from ...variance.shares import shares

    found = shares(context.fit)
    i = found["component"].index(RESIDUAL)
    return Share(RESIDUAL, *(float(found[name][i]) for name in ("share", "lower", "upper")))


def _named(name: str, i: int | None) -> Html:
    """A name beside its colour in the bar."""
    return join(tag("span", class_="swatch rest" if i is None else f"swatch s{i % 4}"), " ", user(name, 40))


# --- explained ---------------------------------------------------------------------------------------------------
def _explained(context: Context) -> Html | None:
    """R², if there is anything that could explain."""
    from ...variance.r2 import r2_table
    from ...variance.words import r2_sentence

    if not context.population and not context.covariates:
        return None
    found = r2_table(context.fit)
    heads = [Column("R²", False), Column("Estimate"), Column(f"{coverage(context.fit.level)} interval")]
    rows = []
    for i, kind in enumerate(found["kind"]):
        share = Share(kind, *(float(found[name][i]) for name in ("estimate", "lower", "upper")))
        rows.append((WHAT.get(kind, kind), percent(share.share), share.interval))
    quick = context.fit.model.is_linear and context.fit.estimator.name in QUICK
    known = context.covariates and (quick or not context.fit.sampled)
    levels = guarded(_by_level, context, "Explained variance by level") if known else None
    return join(tag("h3", "What is explained (R²)"), table(heads, rows), paragraph(r2_sentence(context.fit)), levels)


WHAT = {"marginal": "marginal: by the predictors", "conditional": "conditional: by predictors and groups"}


def _by_level(context: Context) -> Html | None:
    """How much smaller the variance of each level is than without predictors."""
    from ...variance.r2 import r2_levels

    found = {label: value for label, value in r2_levels(context.fit).items() if value == value}
    if not found:
        return None
    said = [
        join("Against the same groups without predictors, the variance ",
             "within all groups" if label == RESIDUAL else join("between levels of ", user(label, 40)),
             f" is {percent(abs(value))} {'smaller' if value >= 0.0 else 'larger'}.")
        for label, value in found.items()
    ]  # fmt: skip
    return bullets(said)


# --- what clustering costs -----------------------------------------------------------------------------------------
def _design_effect(context: Context) -> Html:
    from ...variance.design_effect import design_effect
    from ...variance.words import effective_sentence

    found, rows = design_effect(context.fit), f"{context.fit.n_obs:,}"
    said = [
        join("Rows of the same level of ", tag("b", user(label, 40)), f" resemble each other: for a mean, {rows} rows "
             f"are worth {worth:,.0f} independent ones (design effect {number(effect)}).")
        for label, effect, worth in zip(found["group"], found["design_effect"], found["effective_n"], strict=True)
    ]  # fmt: skip
    effective = guarded(lambda c: paragraph(effective_sentence(c.fit)), context, "The number of effective parameters")
    return join(tag("h3", "What clustering costs"), bullets(said), effective)
