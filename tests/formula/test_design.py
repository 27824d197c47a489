"""Columns from formulas: values and names against formulaic, what is remembered, and what is refused."""

import dataclasses
import itertools
import json
import warnings
from fractions import Fraction as F

import numpy as np
import pandas as pd
import pytest

from multilevel import errors
from multilevel.data.tables import as_table
from multilevel.formula.coding import model_columns
from multilevel.formula.columns import TrainingColumns
from multilevel.formula.design import build
from multilevel.formula.formula import Name, Term, Terms
from multilevel.formula.grammar import parse
from multilevel.formula.groups import combine
from multilevel.formula.memory import DesignMemory
from multilevel.formula.rebuild import coefficient_columns


def base():
    """The clean data that every bad input is derived from: 20 groups of 10 rows, no random numbers."""
    rows = []
    for i in range(200):
        j = i // 10
        x, b, e = F((7 * i) % 13 - 6, 6), F((5 * j) % 11 - 5, 4), F((17 * i + 3 * (i // 7)) % 31 - 15, 12)
        rows.append((f"g{j:02d}", float(x), float(1 + x / 2 + b + e), ((3 * i + j * j) % 5) + (j % 4)))
    return pd.DataFrame(rows, columns=["g", "x", "y", "c"])


def mixed(n=48):
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.permutation(n) * 1.0, "z": rng.normal(size=n)})
    for name, values in {"f": "abcd", "g": "uv", "h": "pqr"}.items():
        data[name] = rng.choice(list(values), n)
    data["k"] = rng.choice([1, 2, 3], n)
    data["b"] = rng.random(n) > 0.4
    data["fc"] = pd.Categorical(data.f, categories=list("cabd"))
    data["my col"] = data.x / 2
    return data


def made(formula, data, **options):
    return build(parse(formula), as_table(data), **options)


def dense(columns, n):
    return [np.ones(n) if c is None else c for c in columns]


def same(ours, theirs):
    return all((a is None and b is None) or a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))


FORMULAS = [
    "x", "f", "0 + f", "0 + f + g", "f * g", "f:g", "0 + f:g", "x:f", "x + x:f", "f + x:f", "x * f", "b", "0 + b",
    "b * f", "b:x", "C(k)", "C(f, Sum)", "C(f, contr.sum)", "C(f, Treatment('b'))", "C(f, contr.treatment('b'))",
    "0 + C(f, Sum)", "C(f, Helmert)", "C(f, Poly)", "C(f, Diff)", "C(k) * x", "fc", "poly(x, 2)",
    "poly(x, 3, raw=True)", "poly(x, 2):f", "f:poly(x, 2)", "bs(x, df=5)", "bs(x, df=5, include_intercept=True)",
    "0 + bs(x, df=5, include_intercept=True)", "cr(x, df=4)", "scale(x)", "center(x)", "log(x + 1)", "I(x * z)",
    "f * g * h", "f:g + f", "g + f:g", "x:z", "x * z + f", "1", "0", "x:f:g", "x:g + z:f", "f:x:g + g", "0 + x + f",
    "0 + x:f + f", "C(f, Sum) * C(g, Sum)", "C(f, Sum):x", "0 + C(f, Poly):x", "C(b)", "k:f", "h:f + f:g",
    "f:h:g + x:f", "bs(x, df=4, include_intercept=True):f", "f:cr(x, df=3)", "log(x + 1):f", "C(k, Treatment(2))",
    "exp(z)", "log2(x + 1)", "x:C(f, Helmert):g", "scale(x, center=False)", "scale(x, scale=False)", "poly(x, 2, True)",
    "C(k, Treatment(reference=2))", "scale(x, scale=True)",
    "log(scale(z, False) + 9)", "bs(x, df=4):C(f, Sum)", "x:f + z:f",
    "`my col`:f", "poly(`my col`, 2)",
]  # fmt: skip


@pytest.mark.parametrize("right", FORMULAS)
def test_names_and_values_are_formulaics(right):
    from formulaic import model_matrix

    data = mixed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = model_matrix(f"y ~ {right}", data).rhs
    design = made(f"y ~ {right}", data)
    names = [name.replace("contr.sum", "Sum").replace("contr.treatment", "Treatment") for name in theirs.columns]
    assert design.fixed_names == tuple(names)
    for column, name in zip(dense(design.fixed_columns, 48), theirs.columns, strict=True):
        np.testing.assert_allclose(column, theirs[name].to_numpy(float), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("right", FORMULAS)
def test_rebuilding_gives_the_same_bits_for_any_subset_of_rows(right):
    data = mixed()
    design = made(f"y ~ {right} + (1 | h)", data)
    assert same(design.fixed_columns, design.rebuild(as_table(data)).fixed_columns)
    rows = [7, 3, 21]
    part = design.rebuild(as_table(data.drop(columns="y").iloc[rows]))
    assert part.n == 3
    assert same([None if c is None else c[rows] for c in design.fixed_columns], part.fixed_columns)
    assert part.groups[0].codes.tolist() == design.groups[0].codes[rows].tolist()
    assert all(c is None or c.shape == (0,) for c in design.rebuild(as_table(data.iloc[:0])).fixed_columns)


TERMS = ["f", "g", "h", "x", "fg", "gh", "xf", "hf", "xfg", "fgh"]


def test_every_set_of_terms_is_coded_with_full_rank_and_the_same_span():
    grid = pd.DataFrame(list(itertools.product("abc", "uv", "pq")) * 4, columns=list("fgh"))
    grid["x"] = np.random.default_rng(1).normal(size=48)
    columns = TrainingColumns(as_table(grid), 48, None)
    terms = {s: Term(tuple(Name(c) for c in s)) for s in TERMS}
    indicators = {s: model_columns(Terms(False, (t,)), columns)[1] for s, t in terms.items()}
    subsets = itertools.chain.from_iterable(itertools.combinations(TERMS, k) for k in range(1, len(TERMS) + 1))
    for chosen, intercept in itertools.product(subsets, (True, False)):
        _, coded = model_columns(Terms(intercept, tuple(terms[s] for s in chosen)), columns)
        ours = np.column_stack(dense(coded, 48))
        everything = np.column_stack([c for s in chosen for c in indicators[s]] + [np.ones(48)] * intercept)
        rank = np.linalg.matrix_rank(everything)
        assert ours.shape[1] == rank == np.linalg.matrix_rank(np.column_stack([ours, everything])), chosen


def test_numeric_columns_are_not_copied():
    x, y = np.arange(5.0), np.arange(5.0) ** 2
    design = made("y ~ x", {"x": x, "y": y})
    assert np.shares_memory(design.fixed_columns[1], x)
    assert np.shares_memory(design.response, y)
    assert design.fixed_columns[0] is None
    assert design.kept is None


def test_columns_shared_by_the_parts_are_one_array():
    design = made("y ~ poly(x, 2) + (poly(x, 2) | g)", base())
    assert all(a is b for a, b in zip(design.fixed_columns, design.groups[0].columns, strict=True))


# ---- group terms ----


def test_group_terms_have_the_same_coding():
    data = mixed()
    design = made("y ~ 1 + (f | h) + (0 + f | h) + (x || g) + (1 | g:h)", data)
    names = [(g.label, g.names, g.scale) for g in design.groups]
    assert names[:3] == [
        ("h", ("Intercept", "f[T.b]", "f[T.c]", "f[T.d]"), "unstructured"),
        ("h", ("f[a]", "f[b]", "f[c]", "f[d]"), "unstructured"),
        ("g", ("Intercept", "x"), "diagonal"),
    ]
    assert design.groups[3].levels == ("u:p", "u:q", "u:r", "v:p", "v:q", "v:r")
    pairs = data.g + ":" + data.h
    assert [design.groups[3].levels[i] for i in design.groups[3].codes] == pairs.tolist()
    assert all(g.codes.dtype == np.int32 for g in design.groups)


def test_only_combinations_that_occur_are_levels():
    data = {"y": np.arange(4.0), "a": ["b", "a", "b", "a"], "c": [10, 9, 9, 9], "d": ["z", "z", "y", "y"]}
    design = made("y ~ 1 + (1 | a:c:d)", data)
    assert design.groups[0].levels == ("a:9:y", "a:9:z", "b:9:y", "b:10:z")
    assert design.groups[0].codes.tolist() == [3, 1, 2, 0]
    new = {"a": ["a", "b"], "c": [9.0, 10.0], "d": ["y", "y"]}
    assert design.rebuild(as_table(new), unseen="mark").groups[0].codes.tolist() == [0, -1]
    with pytest.raises(errors.UnseenLevelError, match="b:10:y not in the training data"):
        design.rebuild(as_table(new))


def test_combinations_by_table_and_by_sorting_agree():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 30, 500), rng.integers(0, 40, 500)
    codes, keys = combine(a, 30, b, 40)
    huge_codes, huge_keys = combine(a, 30, b, 2**31)
    assert (codes == huge_codes).all()
    assert (keys // 40 == huge_keys // 2**31).all()
    assert (keys[codes] == a * 40 + b).all()


def test_unused_categories_are_dropped_and_the_order_stays():
    data = base()
    data["g"] = pd.Categorical(data.g, categories=["u1", *reversed(data.g.unique()), "u2"])
    data["f"] = pd.Categorical(np.where(data.x > 0, "lo", "hi"), categories=["mid", "lo", "hi"])
    design = made("y ~ f + (1 | g)", data)
    assert design.groups[0].levels == tuple(f"g{j:02d}" for j in reversed(range(20)))
    assert design.groups[0].codes[0] == 19
    assert design.fixed_names == ("Intercept", "f[T.hi]")


def test_levels_that_vanish_with_dropped_rows_are_dropped():
    data = mixed()
    data.loc[data.f == "a", "x"] = np.nan
    with pytest.warns(errors.MissingDataWarning):
        design = made("y ~ x + f + (1 | f)", data)
    assert design.fixed_names == ("Intercept", "x", "f[T.c]", "f[T.d]")
    assert design.groups[0].levels == ("b", "c", "d")


# ---- missing and infinite values ----


def test_d03_a_column_that_is_not_used_may_be_missing():
    assert made("y ~ x + (1 | g)", base().assign(unused=np.nan)).n == 200


def dropped(data, message, formula="y ~ x + (1 | g)", **options):
    with pytest.warns(errors.MissingDataWarning) as caught:
        design = made(formula, data, **options)
    assert [str(w.message) for w in caught] == [message]
    assert [(w.code, str(w)) for w in design.warnings] == [("W_MISSING", message)]
    return design


def test_d04_none_is_no_group():
    data = base()
    data.loc[:9, "g"] = None
    design = dropped(data, "dropped 10 of 200 rows with missing values (g: 10); 190 rows remain")
    assert len(design.groups[0].levels) == 19
    assert design.kept.tolist() == list(range(10, 200))


def test_d05_nan_is_no_group():
    data = base()
    data["g"] = data.g.str[1:].astype(float)
    data.loc[[0, 1], "g"] = np.nan
    design = dropped(data, "dropped 2 of 200 rows with missing values (g: 2); 198 rows remain")
    assert len(design.groups[0].levels) == 20


def test_d10_nullable_columns():
    data = base()
    data["y"] = data.y.astype("Float64")
    data.loc[0, "y"] = pd.NA
    design = dropped(data, "dropped 1 of 200 rows with missing values (y: 1); 199 rows remain")
    assert design.response.tolist() == base().y[1:].tolist()


def test_rows_are_dropped_once_across_all_parts():
    data = base()
    data.loc[[0, 1], "y"] = np.nan
    data.loc[[1, 2], "g"] = None
    data["o"] = data.x
    data.loc[3, "o"] = np.nan
    message = "dropped 4 of 200 rows with missing values (y: 2, g: 2, o: 1); 196 rows remain"
    design = dropped(data, message, "y ~ x + offset(o) + (1 | g)")
    assert design.missing == (("y", 2), ("g", 2), ("o", 1))
    assert {len(c) for c in (design.response, design.fixed_columns[1], design.offset, design.groups[0].codes)} == {196}


def test_d06_infinity_is_never_dropped():
    data = base()
    data.loc[0, "y"] = np.inf
    with pytest.raises(errors.NonFiniteError) as caught:
        made("y ~ x + (1 | g)", data)
    assert caught.value.code == "E_NONFINITE"
    assert 'column "y" holds 1 infinite value (+inf, first at row 0)' in str(caught.value)


def test_d08_a_transform_that_leaves_the_numbers():
    with pytest.raises(errors.NonFiniteError) as caught:
        made("y ~ log(x) + (1 | g)", base())
    x = base().x
    assert caught.value.code == "E_NONFINITE"
    assert str(caught.value).startswith(
        f"log(x) is not finite in {(x <= 0).sum()} rows where x <= 0 "
        f"(NaN in {(x < 0).sum()}, -inf in {(x == 0).sum()}; first row 0)"
    )


@pytest.mark.parametrize(
    ("term", "says"),
    [
        (
            "log(x - 0.5)",
            "log(x - 0.5) is not finite in 155 rows where x - 0.5 <= 0 (NaN in 140, -inf in 15;",
        ),
        ("sqrt(x)", "sqrt(x) is not finite in 93 rows where x < 0 (NaN in 93; first row 0)"),
        ("exp(I(1000 * x))", "is not finite in 30 rows where I(1000 * x) > 709.78 (+inf in 30; first row 9)"),
        ("I(y / x)", "y / x is not finite in 15 rows where x = 0"),
        ("I(log(x) * 0)", "log(x) is not finite"),
    ],
)
def test_other_domains(term, says):
    with pytest.raises(errors.NonFiniteError) as caught:
        made(f"y ~ {term}", base())
    assert says in str(caught.value)


def test_the_row_named_is_the_row_of_the_table():
    data = {"y": [np.nan, 1.0, 2.0, 3.0], "x": [1.0, 1.0, 2.0, -1.0]}
    with pytest.warns(errors.MissingDataWarning), pytest.raises(errors.NonFiniteError, match="first row 3"):
        made("y ~ log(x)", data)


def test_d09_a_column_entirely_missing():
    with pytest.raises(errors.EmptyDataError, match='column "x" is missing in 200 of 200 rows') as caught:
        made("y ~ x + (1 | g)", base().assign(x=np.nan))
    assert caught.value.code == "E_NO_ROWS"


def test_no_complete_row():
    data = {"y": [1.0, np.nan], "x": [np.nan, 1.0]}
    with pytest.raises(errors.EmptyDataError, match=r"2 of 2 rows have missing values \(y: 1, x: 1\)"):
        made("y ~ x", data)


def test_s01_no_rows():
    with pytest.raises(errors.EmptyDataError, match="0 rows") as caught:
        made("y ~ x + (1 | g)", base().iloc[:0])
    assert caught.value.code == "E_NO_ROWS"


def test_s02_no_columns():
    with pytest.raises(errors.UnknownColumnError, match=r'"y".*no columns'):
        made("y ~ x + (1 | g)", pd.DataFrame())


def test_s07_unicode_names():
    data = base().rename(columns={"y": "é", "x": "größe", "g": "gruppe"})
    design = made("é ~ größe + (1 | gruppe)", data)
    assert (design.response_name, design.fixed_names) == ("é", ("Intercept", "größe"))
    assert design.variables == ("é", "größe", "gruppe")


# ---- response ----


def test_t01_bool_response():
    with pytest.warns(errors.DtypeWarning) as caught:
        design = made("y ~ x + (1 | g)", base().assign(y=base().y > 1))
    assert caught[0].message.code == "W_BOOL_RESPONSE"
    assert all(word in str(caught[0].message) for word in ('"y"', "bool", 'family="binomial"'))
    assert set(design.response) == {0.0, 1.0}


def test_t03_text_response():
    with pytest.raises(errors.DtypeError) as caught:
        made("y ~ x + (1 | g)", base().assign(y=base().y.astype(str)))
    assert caught.value.code == "E_RESPONSE_NOT_NUMERIC"
    assert all(word in str(caught.value) for word in ('"y"', "str", "convert"))


@pytest.mark.parametrize(("left", "value"), [("log(c + 1)", np.log1p), ("I(c / 2)", lambda c: c / 2)])
def test_expressions_as_response(left, value):
    design = made(f"{left} ~ x", base())
    assert design.response_name == left
    np.testing.assert_allclose(design.response, value(base().c), rtol=1e-15)


@pytest.mark.parametrize("left", ["cbind(c, x)", "c | trials(c)", "y | cens(c)", "c | rate(x)", "y | trunc(0)"])
def test_what_belongs_to_other_families_is_refused(left):
    with pytest.raises(errors.FormulaError) as caught:
        made(f"{left} ~ x", base())
    assert caught.value.code == "E_FORMULA_FUNCTION"


# ---- weights, standard errors, offsets ----


@pytest.mark.parametrize(("bad", "shown"), [(-1, "-1"), (np.inf, "inf")])
def test_r16_bad_weights(bad, shown):
    with pytest.raises(errors.WeightsError) as caught:
        made("y ~ x", base(), weights=[bad] + [1] * 199)
    assert caught.value.code == "E_WEIGHTS"
    assert shown in str(caught.value)
    assert "row 0" in str(caught.value)


def test_r17_missing_weight():
    message = "dropped 1 of 200 rows with missing values (weights: 1); 199 rows remain"
    assert dropped(base(), message, weights=[np.nan] + [1] * 199).weights.tolist() == [1.0] * 199


def test_r19_a_weight_of_zero_drops_its_row_in_silence():
    design = made("y ~ x + (1 | g)", base(), weights=[0] + [1] * 199)
    assert (design.n, design.n_rows_given, design.warnings) == (199, 200, ())
    assert design.response.tolist() == base().y[1:].tolist()


def test_all_weights_zero():
    with pytest.raises(errors.WeightsError, match="all weights are zero"):
        made("y ~ x", base(), weights=np.zeros(200))


def test_r20_wrong_length():
    with pytest.raises(errors.WeightsError, match="150 values for 200 rows"):
        made("y ~ x", base(), weights=[1] * 150)
    with pytest.raises(errors.WeightsError, match="150 values for 200 rows") as caught:
        made("y ~ x", base(), offset=[1] * 150)
    assert caught.value.code == "E_OFFSET"


@pytest.mark.parametrize(
    "weights", [pd.Series([1, None, 2], dtype="Int64"), pd.Series([1.0, None, 2.0]), [1, None, 2], (1, np.nan, 2)]
)
def test_any_array_of_weights(weights):
    with pytest.warns(errors.MissingDataWarning, match="weights: 1"):
        assert made("y ~ 1", {"y": [1.0, 2.0, 3.0]}, weights=weights).weights.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("weights", [["a", "b", "c"], np.array([1j, 1, 1]), [[1], [2], [3]], 2.0])
def test_weights_that_are_no_numbers(weights):
    with pytest.raises((errors.DtypeError, errors.WeightsError), match="weights"):
        made("y ~ 1", {"y": [1.0, 2.0, 3.0]}, weights=weights)


def test_weights_by_column_and_by_formula():
    data = base().assign(w=np.arange(200) % 3 + 1.0)
    by_column, by_formula = made("y ~ x", data, weights="w"), made("y | weights(w) ~ x", data)
    assert (by_column.weights_kind, by_formula.weights_kind) == ("precision", "frequency")
    assert by_column.weights.tolist() == by_formula.weights.tolist() == data.w.tolist()
    assert by_column.variables == ("y", "x", "w")
    for design in (by_column, by_formula):
        assert design.rebuild(as_table(data[:4])).weights.tolist() == data.w[:4].tolist()
        assert design.rebuild(as_table(data[["x"]])).weights is None
    with pytest.raises(errors.WeightsError, match="twice"):
        made("y | weights(w) ~ x", data, weights="w")
    with pytest.raises(errors.UnknownColumnError, match="nope"):
        made("y ~ x", data, weights="nope")
    with pytest.raises(errors.DtypeError, match="weights"):
        made("y ~ x", data, weights="g")


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_r22_known_errors_must_be_positive(bad):
    data = base().assign(s=0.5)
    assert set(made("y | se(s) ~ x", data).known_se) == {0.5}
    data.loc[7, "s"] = bad
    with pytest.raises(errors.WeightsError, match=r"1 <= 0 \(first .* in row 7\)") as caught:
        made("y | se(s) ~ x", data)
    assert caught.value.code == "E_SAMPLING_VARIANCE"


def test_offsets_add_up():
    data = base().assign(o=np.arange(200.0))
    design = made("y ~ x + offset(o) + offset(log(c + 1))", data, offset="x")
    np.testing.assert_allclose(design.offset, data.o + np.log(data.c + 1) + data.x, rtol=1e-14)
    assert design.rebuild(as_table(data[:3])).offset.tolist() == design.offset[:3].tolist()


def test_an_offset_array_must_be_given_again():
    design = made("y ~ x", base(), offset=np.ones(200))
    assert design.rebuild(as_table(base()[:2]), offset=[3, 4]).offset.tolist() == [3.0, 4.0]
    with pytest.raises(errors.WeightsError, match="offset="):
        design.rebuild(as_table(base()[:2]))
    with pytest.raises(errors.NonFiniteError, match="offset"):
        made("y ~ x", base(), offset=[np.inf] * 200)


# ---- predictors ----


def test_a_factor_with_one_level():
    with pytest.raises(errors.IdentifiabilityError, match='factor "f" has one level'):
        made("y ~ f", base().assign(f="a"))


def test_text_with_very_many_levels_is_a_group():
    data = pd.DataFrame({"y": np.arange(900.0), "id": [f"p{i % 600}" for i in range(900)]})
    with pytest.raises(errors.IdentifiabilityError, match=r"600 levels .*write \(1 \| id\)"):
        made("y ~ id", data)
    assert len(made("y ~ 1 + (1 | id)", data).groups[0].levels) == 600


@pytest.mark.parametrize(
    "right", ["C(f, Sum, 3)", "C(log(x))", "C(f, levels=3)", "I(poly(x, 2))", "I(C(f))", "poly(x, z)"]
)
def test_calls_that_cannot_be_read(right):
    with pytest.raises(errors.FormulaError):
        made(f"y ~ {right}", mixed())


def test_columns_that_would_not_fit_into_memory_are_refused():
    labels = [f"p{i}" for i in range(400)] * 2
    data = {"y": np.arange(800.0), "a": labels, "b": labels[::-1], "c": labels}
    with pytest.raises(errors.MemoryNeededError, match="GB"):
        made("y ~ 0 + a:b:c", data)


def test_text_inside_arithmetic():
    with pytest.raises(errors.DtypeError, match='"f" must hold numbers here and holds str'):
        made("y ~ log(f)", mixed())


# ---- new rows ----


def two_levels():
    return base().assign(f=["a", "b"] * 100)


def test_p01_unseen_group():
    design, new = made("y ~ x + (1 | g)", base()), base()[:3].assign(g=["g01", "NEW", None])
    with pytest.raises(errors.UnseenLevelError) as caught:
        design.rebuild(as_table(new[:2]))
    assert caught.value.code == "E_UNSEEN_GROUP"
    assert all(word in str(caught.value) for word in ('"g"', "NEW", "target=", "row 1"))
    assert design.rebuild(as_table(new), unseen="mark").groups[0].codes.tolist() == [1, -1, -1]
    assert design.rebuild(as_table(new[["x"]]), groups=False).groups == ()


def test_coefficients_of_groups_without_their_levels():
    design = made("y ~ x + (x | g) + (1 | c)", base())
    first, second = coefficient_columns(design.memory, as_table(base()[["x"]][:3]))
    assert same(first, [None, design.groups[0].columns[1][:3]])
    assert second == (None,)


def test_p03_unseen_level_of_a_factor():
    with pytest.raises(errors.UnseenLevelError) as caught:
        made("y ~ x + f", two_levels()).rebuild(as_table({"x": [1.0, 2.0], "f": ["a", "ZZZ"]}))
    assert caught.value.code == "E_UNSEEN_LEVEL"
    assert all(word in str(caught.value) for word in ('"f"', "ZZZ", "a, b", "row 1"))


def test_p04_a_subset_of_the_levels():
    data = two_levels()
    design = made("y ~ f + (1 | g)", data)
    part = design.rebuild(as_table(data[data.f == "b"]))
    assert part.fixed_columns[1].tolist() == [1.0] * 100


def test_levels_meet_by_label():
    data = base().assign(f=np.tile(["1", "2"], 100), k=np.tile([3, 4], 100))
    design = made("y ~ f + C(k) + (1 | k)", data)
    rows = design.rebuild(as_table({"f": [2, 1], "k": ["4", "3"]}))
    assert [c.tolist() for c in rows.fixed_columns[1:]] == [[1.0, 0.0], [1.0, 0.0]]
    assert rows.groups[0].codes.tolist() == [1, 0]
    with_unused = pd.Categorical(["2"], categories=["9", "2"])
    assert design.rebuild(as_table({"f": with_unused, "k": [3.0]})).fixed_columns[1].tolist() == [1.0]


def test_p07_missing_group():
    with pytest.raises(errors.UnseenLevelError, match="missing in 3 rows") as caught:
        made("y ~ x + (1 | g)", base()).rebuild(as_table(base()[:3].assign(g=None)))
    assert caught.value.code == "E_UNSEEN_GROUP"


def test_p08_missing_column():
    with pytest.raises(errors.UnknownColumnError, match='"x"'):
        made("y ~ x + (1 | g)", base()).rebuild(as_table(base()[["g"]]))


def test_p09_extra_and_shuffled_columns_and_no_rows():
    design = made("y ~ x + (1 | g)", base())
    shuffled = base()[["c", "g", "x"]].assign(more=1)
    assert same(design.fixed_columns, design.rebuild(as_table(shuffled)).fixed_columns)
    empty = design.rebuild(as_table(base().iloc[:0]))
    assert (empty.n, empty.fixed_columns[1].shape, empty.groups[0].codes.shape) == (0, (0,), (0,))


@pytest.mark.parametrize(
    "term", ["scale(x)", "center(x)", "poly(x, 3)", "bs(x, df=5)", "cr(x, df=4)", "log(scale(c, center=False))"]
)
def test_p10_stateful_transforms_remember(term):
    data = base().assign(c=np.arange(200.0) + 500)
    design = made(f"y ~ {term}", data)
    one = design.rebuild(as_table(data[17:18]))
    assert same([None if c is None else c[17:18] for c in design.fixed_columns], one.fixed_columns)


def test_p11_changed_type():
    with pytest.raises(errors.DtypeError) as caught:
        made("y ~ x", base()).rebuild(as_table({"x": ["1.0", "2.0"]}))
    assert caught.value.code == "E_DTYPE"
    assert all(word in str(caught.value) for word in ('"x"', "float", "str"))


def test_missing_predictors_give_missing_rows():
    design = made("y ~ x * f + poly(x, 2)", two_levels())
    rows = design.rebuild(as_table({"x": [1.0, None, 0.5], "f": ["b", "b", None]}))
    assert np.isnan(np.column_stack(rows.fixed_columns[1:])).any(axis=1).tolist() == [False, True, True]
    assert not np.isnan(rows.fixed_columns[2][1])
    nothing = design.rebuild(as_table({"x": [None, None], "f": ["a", "b"]}))
    assert np.isnan(nothing.fixed_columns[1]).all()
    with pytest.raises(errors.MissingDataError, match='"x" is missing in 2 rows'):
        design.rebuild(as_table({"x": [None, None], "f": ["a", "b"]}), missing="error")
    with pytest.raises(errors.SettingError, match="missing must be"):
        design.rebuild(as_table({"x": [1.0], "f": ["a"]}), missing="drop")


def test_infinite_new_values_are_refused():
    with pytest.raises(errors.NonFiniteError, match='"x" holds 1 infinite'):
        made("y ~ x", base()).rebuild(as_table({"x": [1.0, np.inf]}))


def test_the_memory_survives_json():
    data = mixed()
    design = made("y ~ poly(x, 2) * f + bs(z, df=4) + C(k, Sum) + (x | g:h) + (1 | f)", data)
    memory = DesignMemory.from_dict(json.loads(json.dumps(design.memory.to_dict(), allow_nan=False)))
    again = dataclasses.replace(design, memory=memory)
    ours, theirs = design.rebuild(as_table(data)), again.rebuild(as_table(data))
    assert same(ours.fixed_columns, theirs.fixed_columns)
    for a, b in zip(ours.groups, theirs.groups, strict=True):
        assert (a.levels, a.names, a.codes.tolist()) == (b.levels, b.names, b.codes.tolist())


def test_nothing_changes_the_caller_s_data():
    data = mixed()
    before = data.copy(deep=True)
    made("y ~ poly(x, 2) * f + (x | g)", data).rebuild(as_table(data))
    pd.testing.assert_frame_equal(data, before)
