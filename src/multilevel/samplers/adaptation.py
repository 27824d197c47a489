"""What is learnt during warm-up: the step size by dual averaging, and when the metric is renewed.

    log ε̄ follows  log ε_t = μ − √t/γ · mean(δ − α_i),    ε̄ = weighted mean of the log ε_t

δ is the acceptance aimed at, α that of a trajectory. The metric is learnt in windows, each twice the one before; the
first and last draws of the warm-up adapt the step size alone.

References: Hoffman & Gelman (2014), JMLR 15, section 3.2; Stan Development Team, *Stan Reference Manual*, chapter on
MCMC (windows).
"""

from __future__ import annotations

import math

GAMMA, KAPPA, T0 = 0.05, 0.75, 10.0
FIRST, LAST, WINDOW = 75, 50, 25


class StepSize:
    """Dual averaging from a first step size."""

    def __init__(self, first: float, target: float) -> None:
        self.target = target
        self.restart(first)

    def restart(self, first: float) -> None:
        """Forget what was learnt with another metric."""
        self.mu = math.log(10.0 * first)
        self.error = 0.0
        self.log_mean = math.log(first)
        self.t = 0
        self.now = first

    def learn(self, acceptance: float) -> None:
        """One trajectory's acceptance."""
        self.t += 1
        weight = 1.0 / (self.t + T0)
        self.error += weight * (self.target - acceptance - self.error)
        log_step = self.mu - math.sqrt(self.t) / GAMMA * self.error
        share = self.t**-KAPPA
        self.log_mean += share * (log_step - self.log_mean)
        self.now = math.exp(log_step)

    @property
    def state(self) -> list[float]:
        """All of it as numbers, for compiled trajectories; what these have learnt can be set."""
        return [self.target, self.mu, self.error, self.log_mean, float(self.t), self.now]

    @state.setter
    def state(self, numbers: list[float]) -> None:
        self.target, self.mu, self.error, self.log_mean, count, self.now = numbers
        self.t = int(count)

    @property
    def settled(self) -> float:
        """The step size to keep."""
        return math.exp(self.log_mean)


def windows(tune: int) -> tuple[int, list[int]]:
    """Where the metric's first window begins, and the ends of all windows."""
    if tune < 20:
        return tune, []
    first, last = FIRST, LAST
    if tune < FIRST + LAST + WINDOW:
        first, last = int(0.15 * tune), int(0.1 * tune)
    stop, ends = tune - last, []
    at, size = first, WINDOW if tune >= FIRST + LAST + WINDOW else tune - first - last
    while at + size < stop:
        if at + 3 * size > stop:  # the next window would not fit: this one takes what is left
            break
        at += size
        ends.append(at)
        size *= 2
    return first, [*ends, stop]
