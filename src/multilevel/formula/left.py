"""Left of the tilde: the response and what stands behind its bar."""

from __future__ import annotations

from ..errors import nearest, printable
from .arithmetic import FUNCTIONS, Reader
from .formula import Call, Number, Response

# what stands behind the response: the most columns or numbers each takes in order, and by name
MODIFIERS: dict[str, tuple[int, tuple[str, ...]]] = {
    "weights": (1, ()), "se": (1, ("sigma",)), "trials": (1, ()), "cens": (2, ()), "trunc": (2, ("lb", "ub")),
    "rate": (1, ()),
}  # fmt: skip
RESPONSE_FUNCTIONS = (*FUNCTIONS, "cbind")


class LeftReader(Reader):
    """``y``, ``log(y)``, ``cbind(k, n - k)``, ``k | trials(n) + weights(w)``."""

    def response(self) -> Response:
        expression = self.arithmetic(RESPONSE_FUNCTIONS)
        if next(expression.names(), None) is None:
            raise self.fault(expression.at, "the response names no column of the data")
        modifiers: list[tuple[str, Call]] = []
        if self.accept("|"):
            modifiers.append(self.modifier())
            while self.accept("+"):
                at = self.now.at
                modifiers.append(self.modifier())
                if modifiers[-1][0] in (name for name, _ in modifiers[:-1]):
                    raise self.fault(at, f"{modifiers[-1][0]}() stands twice: it takes one column")
        return Response(expression, tuple(modifiers))

    def modifier(self) -> tuple[str, Call]:
        token = self.now
        name = token.value.removeprefix("resp_")
        if not self.plain_name() or name not in MODIFIERS:
            hint = nearest(name, MODIFIERS) or f"Known: {', '.join(MODIFIERS)}."
            raise self.fault(
                token.at,
                f'"{printable(token.value)}" cannot follow the response column\'s bar',
                code="E_FORMULA_FUNCTION" if token.kind == "name" else "E_FORMULA_SYNTAX",
                hint=hint,
            )
        self.take()
        self.expect("(", f"after {name}")
        return name, self.checked_modifier(self.arguments(name, token.at, FUNCTIONS))

    def checked_modifier(self, call: Call) -> Call:
        """Refuse arguments that nothing would read: ignoring ``se(s, sigma=TRUE)`` gave the fit of ``se(s)``."""
        most, settings = MODIFIERS[call.function]
        strange = [key for key, _ in call.keywords if key not in settings]
        if strange or len(call.arguments) > most or not (call.arguments or call.function == "trunc"):
            takes = f"{most} columns" if most > 1 else "one column"
            raise self.fault(
                call.at,
                f"{call.function}() takes {takes}" + (f" and {', '.join(settings)}" if settings else ""),
                code="E_FORMULA_FUNCTION",
            )
        if call.function == "se" and any(value != Number(0.0) for _, value in call.keywords):
            raise self.fault(
                call.at,
                "se(…, sigma=TRUE) is not available in this version: se(column) holds all of the residual variance",
                code="E_FORMULA_FUNCTION",
            )
        return call
