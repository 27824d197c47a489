"""No pooling, complete pooling and partial pooling of thirty schools, marked against the known truth."""

import numpy as np

import multilevel as ml

schools = ml.datasets.load("schools")
truth = ml.datasets.truth("schools")["school_means"]
model = ml.Model("score ~ 1 + (1 | school)", schools)

names = {"school": list(truth)}
for estimator in ("complete", "none", "reml"):
    estimate = np.asarray(model.fit(estimator).predict(names)["estimate"])
    error = np.sqrt(np.mean((estimate - np.array(list(truth.values()))) ** 2))
    print(f"{estimator:<9} root mean squared error {error:.3f}")
