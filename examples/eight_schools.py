"""Eight schools: estimates with known standard errors, as in a meta-analysis (Rubin 1981)."""

import warnings

import multilevel as ml

data = ml.datasets.load("eight_schools")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the boundary fit is the point of this example
    fit = ml.fit("y | se(sigma) ~ 1 + (1 | school)", data)

print(fit.summary())
print("The likelihood is largest at a between-school sd of zero; its interval says how little that means:")
print(fit.variance_components)
