"""lme4 (R) with its default optimiser, without the derivative check after it."""

from __future__ import annotations

from .r_session import REngine


class Lme4(REngine):
    package = "lme4"
    settings = '`calc.derivs = FALSE`, `optimizer = "nloptwrap"` for `glmer` too, then `vcov`'


ENGINE = Lme4()
