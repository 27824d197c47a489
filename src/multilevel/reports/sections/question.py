"""The question in words, and the model as an equation."""

from __future__ import annotations

from ..context import Context
from ..markup import Html, join, joined, paragraph, tag, user
from ..scale import intercept, scales, threshold

HEADING = "The question"
MOST_NAMES = 8


def build(context: Context) -> Html:
    """What is asked, the equation, and what its letters mean."""
    from ...model.describe import equation

    lines = equation(context.fit.model)
    return join(
        paragraph(_question(context), class_="lead"),
        tag("pre", tag("bdi", "\n".join([lines[0], *(f"    {line}" for line in lines[1:])])), class_="equation"),
        _letters(context),
    )


def _question(context: Context) -> Html:
    fixed = [name for j, name in enumerate(context.fit.model.design.fixed_names) if _predictor(context, j, name)]
    names = [tag("b", user(name, 40)) for name in fixed[:MOST_NAMES]]
    if len(fixed) > MOST_NAMES:
        names.append(join(f"{len(fixed) - MOST_NAMES} more columns"))
    what = tag("b", _modelled(context))
    depends = join("How does ", what, " depend on ", joined(names, last=" and ")) if names else None
    groups = [tag("b", user(group, 40)) for group in context.groups]
    if not groups:
        return join(depends, "?") if depends else join("What is the average ", what, "?")
    differ = join(" differ between levels of ", joined(groups, last=" and "))
    if depends is None:
        return join("How much does ", what, differ, "?")
    return join(depends, ", and how much do its level", " and these relations" if _slopes(context) else "", differ, "?")


def _predictor(context: Context, j: int, name: str) -> bool:
    """Whether a coefficient is one of the location's predictors."""
    owner = context.fit.model.design.fixed_predictor
    location = not len(owner) or owner[j] < len(context.fit.model.design.layout.locations)
    return location and not intercept(name) and not threshold(name)


def _modelled(context: Context) -> Html:
    """The response, or the probability that is modelled."""
    if context.fit.model.is_linear or context.categories:
        return context.response
    return user(scales(context.fit)[0].target, 60)


def _slopes(context: Context) -> bool:
    return any(not intercept(term) for _, term in context.pairs)


def _letters(context: Context) -> Html:
    """What b, u and e stand for."""
    design = context.fit.model.design
    items = []
    if design.fixed_names:
        items.append((tag("var", "b"), "what all rows share: the fixed effects"))
    first = 0
    for group in design.groups:
        last = first + len(group.names) - 1
        letter = tag("var", f"u{first}" if first == last else f"u{first} … u{last}")
        one = "deviation of each level of " if first == last else "deviations of each level of "
        items.append((letter, join(one, user(group.label, 40), _of(group.names), ", drawn from one population")))
        first = last + 1
    if context.fit.model.is_linear:
        items.append((tag("var", "e"), "what is left in a single row"))
    return tag("dl", *(join(tag("dt", a), tag("dd", b)) for a, b in items), class_="letters")


def _of(names: tuple[str, ...]) -> Html:
    shown = [user("the intercept" if name == "Intercept" else name, 30) for name in names[:4]]
    more = [join(f"{len(names) - 4} more")] if len(names) > 4 else []
    return join(" in ", joined([*shown, *more], last=" and "))
