"""The plot of simulation-based calibration."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
from multilevel.checks.calibration import Calibration
from multilevel.errors import SettingError


def ranks(n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(1)
    narrow = np.floor(100 * rng.beta(0.5, 0.5, n)).astype(int)
    return np.column_stack([rng.integers(0, 100, n), narrow])


def test_failures_are_named(words):
    figure = ml.plot.calibration(Calibration(("sigma", "sd[$x$]"), ranks(), 99, "nuts"))
    assert words(figure).startswith("Not calibrated: sd[")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["sigma", r"sd[\$x\$] !"]


def test_lines_end_at_zero_and_colours_tell(words):
    result = Calibration(("a", "b"), ranks(), 99, "nuts")
    figure = ml.plot.calibration(result)
    lines = [ax.lines[-1] for ax in figure.axes]
    assert all(line.get_ydata()[-1] == pytest.approx(0.0) for line in lines)
    assert lines[0].get_color() != lines[1].get_color()
    alone = ml.plot.calibration(result, ["a"])
    assert len(alone.axes) == 1


def test_unknown_quantities():
    with pytest.raises(SettingError, match="not ranked"):
        ml.plot.calibration(Calibration(("a", "b"), ranks(), 99, "nuts"), ["c"])
