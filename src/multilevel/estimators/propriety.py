"""Whether a posterior exists: separated coefficients need a prior.

Along a direction that separates the rows of a discrete response the likelihood does not fall (`model/separation.py`).
If no proper prior looks that way either, the posterior has infinite mass, and a sampler would wander off for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import IdentifiabilityError, listed

if TYPE_CHECKING:
    from ..model.model import Model

TIE = 1e-7


def check_propriety(model: Model) -> None:
    """Refuse a model whose posterior is improper because of separation.

    Raises
    ------
    IdentifiabilityError
        E_IMPROPER, with the coefficients that need a prior.
    """
    if model.is_linear or not model.distribution.family.discrete or not model.rows.n_coefficients:
        return
    from ..core.laplace import Laplace
    from ..model.separation import conditions_of, null_space, recession, separation

    rows, distribution = model.rows, model.distribution
    at = Laplace(rows, distribution, model.scales).at_start
    if separation(rows, distribution, at) is None:
        return
    conditions = conditions_of(rows, distribution, at)
    looked_at = [p.direction @ rows.to_beta for p in model.priors.linear if p.prior.proper]
    columns = conditions.columns(rows)
    constants = np.zeros((len(rows.constants), rows.n_coefficients))
    constants[np.arange(len(constants)), [place for _, _, place in rows.constants]] = 1.0
    basis = null_space(np.concatenate([columns[conditions.tied], *[p[None] for p in looked_at], constants]))
    found = recession(columns[~conditions.tied] @ basis)
    if found is None:
        return
    direction = rows.to_beta @ (basis @ found[0])
    large = np.abs(direction) > TIE * np.abs(direction).max()
    names = [name for name, moves in zip(model.design.fixed_names, large, strict=True) if moves]
    raise IdentifiabilityError(
        f"the posterior is improper: the rows are separated along {listed(names)}, and no prior holds these back",
        code="E_IMPROPER",
        hint='Give proper priors to the slopes, such as priors={"beta": "normal(0, 2.5)"}, or use the default set.',
    )
