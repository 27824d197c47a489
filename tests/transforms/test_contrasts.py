"""Contrast matrices: R's values, formulaic's names."""

import numpy as np
import pytest

from multilevel.errors import FormulaError
from multilevel.transforms.contrasts import CONTRASTS, contrast

L3 = ("a", "b", "c")


@pytest.mark.parametrize(
    ("name", "fields", "matrix"),
    [
        ("contr.treatment", ("T.b", "T.c"), [[0, 0], [1, 0], [0, 1]]),
        ("contr.SAS", ("T.a", "T.b"), [[1, 0], [0, 1], [0, 0]]),
        ("contr.sum", ("S.a", "S.b"), [[1, 0], [0, 1], [-1, -1]]),
        ("contr.helmert", ("H.b", "H.c"), [[-1, -1], [1, -1], [0, 2]]),
        ("Diff", ("D.b", "D.c"), [[-2 / 3, -1 / 3], [1 / 3, -1 / 3], [1 / 3, 2 / 3]]),
        ("contr.poly", (".L", ".Q"), np.array([[-(3**0.5), 1], [0, -2], [3**0.5, 1]]) / 6**0.5),
    ],
)
def test_three_levels(name, fields, matrix):
    got_fields, got = contrast(name, L3)
    assert got_fields == fields
    np.testing.assert_allclose(got, matrix, atol=1e-15)


@pytest.mark.parametrize("name", CONTRASTS)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_a_contrast_and_the_intercept_span_the_levels(name, n):
    fields, matrix = contrast(name, tuple(f"l{i}" for i in range(n)))
    assert len(fields) == n - 1
    assert np.linalg.matrix_rank(np.column_stack([np.ones(n), matrix])) == n


def test_the_reference_may_be_chosen():
    assert contrast("Treatment", L3, ("b",))[0] == ("T.a", "T.c")
    assert contrast("Treatment", L3, reference="c")[0] == ("T.a", "T.b")
    assert contrast("Treatment", ("1", "2"), (2,))[0] == ("T.1",)


def test_poly_takes_scores():
    _, matrix = contrast("Poly", L3, scores=[0, 1, 10])
    assert abs(matrix[:, 0] @ matrix[:, 1]) < 1e-14
    assert matrix[1, 0] < 0


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("Summ", (), 'did you mean "Sum"'),
        ("Sum", (1,), "no settings"),
        ("Treatment", ("z",), '"z" is no level; levels: a, b, c'),
        ("Poly", ([1, 1, 2],), "distinct score"),
    ],
)
def test_refusals(name, given, says):
    with pytest.raises(FormulaError, match=says):
        contrast(name, L3, given)
