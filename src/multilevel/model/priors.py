"""From a model to its priors: a named set, and what the user gave in place of its members.

    priors="brms"                                               a set, a file of `prior_sets/`
    priors={"sd[school]": "exponential(1)", "beta": "normal(0, 1)"}      by address, on our own set
    priors={"set": "brms", "sigma": "exponential(1/20)"}        by address, on another
    priors=["sd ~ exponential(1)", "cor = lkj(2)"]              the same as text

An address names one parameter or many; what is narrower wins, whatever the order. `parameters` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, listed, nearest, printable
from ..priors.base import Cut, Prior, positive
from ..priors.covariance.base import CovariancePrior
from ..priors.flat import Flat
from ..priors.parse import parse_prior
from ..priors.record import Chosen, LinearPrior, Priors
from ..priors.terms import Separate, TermPrior
from ..registry import member, members
from .prior_parameters import intercepts, parameters
from .prior_sets.base import PROBABILITIES, Parameter, Scales, standard_deviation

if TYPE_CHECKING:
    from .model import Model

__all__ = ["intercepts", "resolve"]

SETS = "model.prior_sets"
DEFAULT = "default"
AnyPrior = Prior | CovariancePrior
NO_SCALE = -1


def resolve(model: Model, given: Any = None) -> Priors:
    """The priors of a model.

    Parameters
    ----------
    given : None, the name of a set, a mapping from addresses to priors, a list of texts, or resolved priors
        Priors are texts (``"normal(0, 5)"``) or records of `priors/`.

    Raises
    ------
    SettingError
        E_PRIOR_ADDRESS for an address that names no parameter, with the nearest; E_PRIOR for a prior that cannot be
        that of its parameter; E_PRIOR_IMPROPER where the posterior is known not to exist.
    """
    if isinstance(given, Priors):
        return given
    name, asked = requested(given)
    return _Resolution(model, name, asked).priors()


def requested(given: Any) -> tuple[str, dict[str, AnyPrior]]:
    """The set's name, and the priors given by address (spaces removed)."""
    if given is None:
        return DEFAULT, {}
    if isinstance(given, str):
        if "=" not in given and "~" not in given:
            return _known_set(given), {}
        given = [given]
    if isinstance(given, Mapping):
        items = [(str(k), v) for k, v in given.items() if k != "set"]
        return _known_set(given.get("set", DEFAULT)), {_plain(k): parse_prior(v) for k, v in items}
    if not isinstance(given, Sequence):
        raise SettingError(
            f"priors={printable(repr(given))} is no set, mapping or list",
            code="E_PRIOR",
            hint='Give {"sd[school]": "exponential(1)"}.',
        )
    pairs = dict(_pair(item) for item in given)
    name = pairs.pop("set", DEFAULT)
    return _known_set(name), {address: parse_prior(text) for address, text in pairs.items()}


def _known_set(name: Any) -> str:
    known = members(SETS)
    if name not in known:
        hint = nearest(str(name), known) or f"There are: {listed(known, 9)}; or give priors by parameter."
        raise SettingError(f'unknown set of priors "{printable(str(name))}"', code="E_PRIOR", hint=hint)
    return str(name)


def _pair(item: Any) -> tuple[str, str]:
    """Address and prior of ``"sd[g] = normal(0, 1)"`` or with a tilde: the first sign outside brackets."""
    depth = 0
    for i, c in enumerate(item if isinstance(item, str) else ""):
        depth += (c in "[(") - (c in "])")
        if c in "=~" and depth == 0:
            return _plain(item[:i]), item[i + 1 :].strip()
    raise SettingError(
        f'"{printable(str(item))}" gives no prior to a parameter', code="E_PRIOR", hint='Write "sd[g] = normal(0, 1)".'
    )


def _plain(address: str) -> str:
    return "".join(address.split())


class _Resolution:
    """The work of `resolve`: which prior each parameter has, and what is made of them."""

    def __init__(self, model: Model, name: str, asked: dict[str, AnyPrior]) -> None:
        self.model, self.name, self.asked = model, name, asked
        self.data = Scales(model)
        self.choose = member(SETS, name)
        self.parameters = parameters(model)
        self.extras: list[tuple[str, Prior]] = []
        self.chosen: list[Chosen] = []
        self._check_addresses()

    def priors(self) -> Priors:
        linear = self._linear()
        terms = tuple(self._term(t) for t in range(len(self.model.design.groups)))
        constants = {p.name: self._constant(p) for p in self.parameters if p.kind == "constant"}
        return Priors(
            terms, linear, constants, tuple(self.extras), tuple(self.chosen), self.name,
            {address: prior.text for address, prior in self.asked.items()},
        )  # fmt: skip

    # --- addresses ---------------------------------------------------------------------------------------------------
    def _check_addresses(self) -> None:
        known: dict[str, None] = {}
        for p in self.parameters:
            itself = (f"beta[{p.name}]",) if p.kind == "Intercept" else ()
            known.update(dict.fromkeys((p.name, *p.wider, *itself)))
        for address in self.asked:
            if address not in {_plain(name) for name in known}:
                shown = [n for n in known if n != "set"]
                hint = nearest(address, shown) or f"The model has: {listed(shown, 12)}."
                raise SettingError(
                    f'priors: the model has no parameter "{printable(address)}"', code="E_PRIOR_ADDRESS", hint=hint
                )

    def _given(self, p: Parameter) -> tuple[str, AnyPrior] | None:
        """The narrowest address that means a parameter, and its prior."""
        for name in (p.name, *p.wider):
            if (plain := _plain(name)) in self.asked:
                return plain, self.asked[plain]
        return None

    def _prior(self, p: Parameter) -> tuple[AnyPrior | None, str, str]:
        """Prior, reason, and the address by which it was given ("" from the set)."""
        if (found := self._given(p)) is not None:
            return found[1], "" if _plain(p.name) == found[0] else f'by "{found[0]}"', found[0]
        prior, why = self.choose(p, self.data)
        return prior, why, ""

    def _note(self, p: Parameter, prior: object, why: str, address: str) -> None:
        self.chosen.append(Chosen(p.name, str(prior), why, bool(address)))

    # --- coefficients ------------------------------------------------------------------------------------------------
    def _linear(self) -> tuple[LinearPrior, ...]:
        coefficients = [p for p in self.parameters if p.kind in ("Intercept", "beta")]
        found = [(p, *self._prior(self._of_itself(p))) for p in coefficients]
        members_of: dict[str, int] = {}
        for _, prior, _, address in found:
            if isinstance(prior, Prior) and prior.shared is not None:
                members_of[address] = members_of.get(address, 0) + 1
        out = []
        for p, prior, why, address in found:
            itself = self._of_itself(p)
            prior = _on_the_line(itself, prior)
            scale = NO_SCALE
            if prior.shared is not None:
                prior = prior.among(members_of[address], standard_deviation(p.column) / self.data.spread)
                scale = self._extra(f"tau[{address}]", prior)
            self._note(itself, prior, why, address)
            if prior.proper:
                out.append(LinearPrior(itself.name, _direction(self.model, itself), prior, scale))
        for name, prior in self.extras:
            self.chosen.append(Chosen(name, str(prior), "scale that the slopes share"))
        return tuple(out)

    def _of_itself(self, p: Parameter) -> Parameter:
        """An intercept's own coefficient, uncentred, where ``beta[Intercept]`` was given."""
        name = f"beta[{p.name}]"
        if p.kind != "Intercept" or _plain(name) not in self.asked:
            return p
        return Parameter(name, "beta", (), p.predictor, p.location, place=p.place)

    def _extra(self, name: str, prior: Prior) -> int:
        names = [n for n, _ in self.extras]
        if name not in names:
            assert prior.shared is not None
            self.extras.append((name, prior.shared))
            return len(names)
        return names.index(name)

    # --- terms -------------------------------------------------------------------------------------------------------
    def _term(self, t: int) -> TermPrior:
        mine = [p for p in self.parameters if p.term == t]
        whole, sds = next(p for p in mine if p.kind == "cov"), [p for p in mine if p.kind == "sd"]
        cor = next((p for p in mine if p.kind == "cor"), None)
        prior, why, address = self._prior(whole)
        parts_given = any(self._given(p) is not None for p in [*sds, *([cor] if cor else [])])
        if prior is not None and (address or not parts_given):
            return self._whole(whole, prior, why, address, sds, cor, parts_given)
        separate = tuple(self._sd(p) for p in sds)
        return Separate(self._eta(cor), separate)

    def _whole(
        self, p: Parameter, prior: AnyPrior, why: str, address: str, sds: list[Parameter], cor: Parameter | None,
        parts_given: bool,
    ) -> TermPrior:  # fmt: skip
        if not isinstance(prior, CovariancePrior):
            raise _misplaced(p, prior, "that takes inv_wishart or decov")
        if parts_given:
            raise SettingError(
                f'priors: "{p.name}" and parts of it are both given',
                code="E_PRIOR",
                hint='Give "cov[…]", or "sd[…]" and "cor[…]".',
            )
        term = prior.of(len(sds), self._eta(cor, quiet=True))
        if term.whole and self.model.design.groups[p.term].scale != "unstructured" and len(sds) > 1:
            raise _misplaced(p, prior, "its coefficients are not freely correlated")
        self._note(p, prior, why, address)
        return term

    def _eta(self, cor: Parameter | None, quiet: bool = False) -> float:
        if cor is None:
            return 1.0
        prior, why, address = self._prior(cor)
        eta = getattr(prior, "eta", None) if isinstance(prior, CovariancePrior) and prior.correlations_only else None
        if eta is None:
            raise _misplaced(cor, prior, "that takes a prior of correlations, lkj")
        if not quiet:
            self._note(cor, prior, why, address)
        return float(eta)

    def _sd(self, p: Parameter) -> Prior:
        prior, why, address = self._prior(p)
        out = _above_zero(p, prior)
        group = self.model.design.groups[p.term]
        if not out.proper and len(group.levels) < len(group.names) + 2:
            raise _improper(p.name, len(group.levels), len(group.names) + 2)
        self._note(p, out, why, address)
        return out

    # --- constants ---------------------------------------------------------------------------------------------------
    def _constant(self, p: Parameter) -> Prior:
        prior, why, address = self._prior(p)
        if p.name in PROBABILITIES:
            out = _between(p, prior, 0.0, 1.0)
        elif p.name == "nu" and isinstance(prior, Prior) and prior.support[0] < 1.0 and prior.proper:
            out = _between(p, prior, 1.0, np.inf) if self._nu_above_one() else _above_zero(p, prior)
        else:
            out = _above_zero(p, prior)
        if not out.proper and p.name != "sigma" and p.name not in PROBABILITIES:
            raise SettingError(
                f'priors: a flat prior of "{p.name}" has no posterior: its likelihood does not vanish at infinity',
                code="E_PRIOR_IMPROPER",
                hint='Give a proper one, such as "inv_gamma(0.4, 0.3)".',
            )
        self._note(p, out, why, address)
        return out

    def _nu_above_one(self) -> bool:
        layout = self.model.design.layout
        return bool(self.model.distribution.links[layout.names.index("nu")] == "logm1")


# --- what a prior has to be for its parameter ------------------------------------------------------------------------
def _on_the_line(p: Parameter, prior: AnyPrior | None) -> Prior:
    if not isinstance(prior, Prior):
        raise _misplaced(p, prior, "that takes a prior of one number")
    if np.isfinite(prior.support).any():
        raise _misplaced(p, prior, "a coefficient may have either sign and any size")
    return prior


def _above_zero(p: Parameter, prior: AnyPrior | None) -> Prior:
    if not isinstance(prior, Prior):
        raise _misplaced(p, prior, "that takes a prior of one number")
    if prior.shared is not None:
        raise _misplaced(p, prior, "it is made for coefficients")
    return positive(prior)


def _between(p: Parameter, prior: AnyPrior | None, low: float, high: float) -> Prior:
    prior = _above_zero(p, prior)
    if isinstance(prior, Flat):
        return prior
    inside = prior.support[0] >= low and prior.support[1] <= high
    return prior if inside else Cut(prior.whole if isinstance(prior, Cut) else prior, low, high)


def _misplaced(p: Parameter, prior: object, wanted: str) -> SettingError:
    return SettingError(
        f'priors: {printable(str(prior))} cannot be the prior of "{printable(p.name)}": {wanted}',
        code="E_PRIOR",
        hint="docs/priors.md shows what fits where.",
    )


def _improper(name: str, levels: int, needed: int) -> SettingError:
    return SettingError(
        f'priors: a flat prior of "{printable(name)}" with {levels} levels has no posterior; {needed} are needed',
        code="E_PRIOR_IMPROPER",
        hint='Give a proper one, such as "exponential(1)" in the units of the response.',
    )


def _direction(model: Model, p: Parameter) -> np.ndarray:
    if p.direction is not None:
        return p.direction
    out = np.zeros(len(model.design.fixed_names))
    out[p.place] = 1.0
    return out
