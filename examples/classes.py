"""Pupils in classes in schools: a varying slope, and predictions for a known school, a new class and a new school."""

import multilevel as ml

pupils = ml.datasets.load("classes")
fit = ml.fit("score ~ ses + funding + (ses | school) + (1 | classroom)", pupils)
print(fit.summary())

row = {"ses": [0.0], "funding": [0.0], "school": ["S01"], "classroom": ["S01C1"]}
for target in ("conditional", {"school": "conditional", "classroom": "new_group"}, "new_group"):
    estimate, _, lower, upper = fit.predict(row, target=target).iloc[0]
    print(f"{target!s:<58} {estimate:5.1f}   {lower:5.1f} to {upper:5.1f}")
