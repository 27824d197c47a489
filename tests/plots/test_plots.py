"""What every plot keeps, whatever the model: a heading, finite limits, nothing outside the paper, no markup.

The folder is enumerated: a new file is tested on arrival.
"""

from __future__ import annotations

import inspect
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.text import Text

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.registry import members

OF_DRAWS = {"trace", "rank", "pair", "energy"}  # of sampled fits only (test_plots_of_draws.py)
EVERY = members("plots")
OF_OTHERS = {"calibration", "prior_predictive"}  # of results and of models
PLOTS = tuple(name for name in EVERY if name not in OF_DRAWS | OF_OTHERS)
SINGLE = [name for name in PLOTS if "ax" in inspect.signature(getattr(ml.plot, name)).parameters]
GROUPED = [name for name in PLOTS if "group" in inspect.signature(getattr(ml.plot, name)).parameters]
MODELS = ("eight", "classes", "ratings", "hostile", "singular", "many")
INTERCEPTS = ("eight", "ratings")  # models without a slope
REFUSED = {  # what a plot has nothing to say about
    **{("icc_along", model): "no slope varies" for model in INTERCEPTS},
    ("fitted", "eight"): "no numeric predictor",
    ("acf", "eight"): "too short",
}
WITHOUT_GROUPS = {"distribution", "forest", "profile", "qq", "residuals"}  # also plots of models without groups

pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


def picture(name: str, fit, **settings) -> Figure:
    figure = getattr(ml.plot, name)(fit, **settings)
    figure.set_dpi(40)
    figure.savefig(io.BytesIO(), format="png")
    return figure


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_of_every_model(fits, name, model):
    if (name, model) in REFUSED:
        with pytest.raises(SettingError, match=REFUSED[name, model]) as error:
            getattr(ml.plot, name)(fits[model])
        assert error.value.hint
        return
    figure = picture(name, fits[model])
    assert heading(figure)
    limits = np.array([(*ax.get_xlim(), *ax.get_ylim()) for ax in figure.axes])
    assert np.isfinite(limits).all()
    assert np.all(limits[:, 0] < limits[:, 1])
    assert figure.get_size_inches().max() < 16
    assert inside(figure)
    texts = [t.get_text() for t in figure.findobj(Text)]
    assert not [t for t in texts if is_math_text(t)]
    assert not [t for t in texts if "\x1b" in t or "\u202e" in t or "x" * 40 in t]


def heading(figure: Figure) -> str:
    """The bold words at the top."""
    return " ".join(t.get_text() for t in figure.texts if t.get_fontweight() == "bold")


def inside(figure: Figure) -> bool:
    """Whether everything that is drawn lies on the paper."""
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < width + 0.02 and box.y1 < height + 0.02


@pytest.mark.parametrize("name", SINGLE)
def test_plots_draw_into_given_axes(classes, name):
    figure = Figure(figsize=(6, 5))
    left, right = figure.subplots(1, 2)
    assert getattr(ml.plot, name)(classes, ax=left) is figure
    assert figure.axes == [left, right]
    assert not figure.texts
    assert left.has_data()
    assert left.get_title(loc="left")
    assert not right.has_data()


@pytest.mark.parametrize("name", PLOTS)
def test_models_without_groups(name):
    fit = ml.fit("score ~ 1", ml.datasets.load("schools"))
    if name in WITHOUT_GROUPS:
        assert heading(picture(name, fit))
    else:
        with pytest.raises(SettingError, match="no grouping factor"):
            getattr(ml.plot, name)(fit)


@pytest.mark.parametrize("name", GROUPED)
def test_unknown_groups_are_answered_with_the_nearest(classes, name):
    with pytest.raises(SettingError, match='did you mean "school"'):
        getattr(ml.plot, name)(classes, group="schol")


NEED_A_MODEL = {"acf", "influence", "new_group", "profile", "qq"}  # of groups or rows, which some estimators have not


@pytest.mark.parametrize("estimator", ["complete", "ml", "moments", "none"])
def test_other_estimators_are_drawn_or_refused_with_a_remedy(estimator):
    fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"), estimator=estimator)
    refused = {}
    for name in set(PLOTS) - {"icc_along", "fitted"}:
        try:
            assert heading(getattr(ml.plot, name)(fit))
        except SettingError as error:
            refused[name] = error
    assert all(error.hint for error in refused.values())
    assert set(refused) <= (set() if estimator == "ml" else NEED_A_MODEL)


def test_tables_of_other_libraries():
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    data = ml.datasets.load("classes")
    arrow = pyarrow.table(data.to_dict("list"))
    for made in (polars.DataFrame(data.to_dict("list")), arrow):
        fit = ml.fit("score ~ ses + (ses | school)", made)
        for name in PLOTS:
            assert heading(getattr(ml.plot, name)(fit)), name


# --- the folder --------------------------------------------------------------------------------------------------
def test_the_folder_lists_its_plots_and_refuses_others():
    assert dir(ml.plot) == sorted(EVERY)
    assert {"shrinkage", "caterpillar", "pooling", "fitted", "residuals"} <= set(PLOTS)
    with pytest.raises(AttributeError, match="no plot 'forrest'"):
        _ = ml.plot.forrest


@pytest.mark.parametrize("name", PLOTS)
def test_importing_a_plots_module_does_not_hide_the_plot(name):
    import importlib

    importlib.import_module(f"multilevel.plots.{name}")
    assert callable(getattr(ml.plot, name))
    assert not inspect.ismodule(getattr(ml.plot, name))


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_is_documented_with_an_example(name):
    assert f"ml.plot.{name}(" in inspect.getdoc(getattr(ml.plot, name))
    gallery = (Path(__file__).parents[2] / "docs/plots.md").read_text(encoding="utf-8")
    assert f"ml.plot.{name}(" in gallery


def test_no_global_state_and_no_pyplot():
    code = "import sys, multilevel as ml\nfit = ml.fit('score ~ 1 + (1 | school)', ml.datasets.load('schools'))\n"
    code += "ml.plot.shrinkage(fit)\nml.plot.residuals(fit)\nsys.exit('matplotlib.pyplot' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(ml.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode == 0
