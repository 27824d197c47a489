"""Raters crossed with items: who is lenient, and how much of the variance are raters, items and noise?"""

import multilevel as ml

ratings = ml.datasets.load("ratings")
fit = ml.fit("rating ~ familiarity + (1 | rater) + (1 | item)", ratings)
print(fit.variance_components)
print({group: round(share, 2) for group, share in fit.icc().items()})

effects = fit.group_effects("rater").sort_values("estimate")
print("strictest:   ", ", ".join(effects["level"].head(3)))
print("most lenient:", ", ".join(effects["level"].tail(3)))
