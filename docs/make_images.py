"""Draws the images of the documentation: ``python docs/make_images.py``; each is what the page beside it calls."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image  # comes with Matplotlib

import multilevel as ml

IMAGES = Path(__file__).parent / "images"
LARGEST = 60_000  # bytes of one image
COLOURS = 128


def pictures():
    """(name, figure) of every image."""
    plot = ml.plot
    classes = ml.fit("score ~ ses + funding + (ses | school) + (1 | classroom)", ml.datasets.load("classes"))
    schools = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    pupils = ml.datasets.load("classes")
    pupils["passed"] = (pupils.score > 70).astype(int)
    passed = ml.fit("passed ~ ses + funding + (1 | school)", pupils, family="binomial")
    yield "shrinkage", plot.shrinkage(classes, "school", "ses")
    yield "caterpillar", plot.caterpillar(classes, "school")
    yield "pooling", plot.pooling(classes, term="ses")
    yield "variance_shares", plot.variance_shares(classes)
    yield "icc_along", plot.icc_along(classes)
    yield "fitted", plot.fitted(classes)
    yield "fitted_together", plot.fitted(classes, facets=False)
    yield "forest", plot.forest(classes)
    yield "forest_odds", plot.forest(passed, exponentiate=True)
    yield "fitted_yes", plot.fitted(passed, "ses")
    yield "distribution", plot.distribution(classes)
    yield "new_group", plot.new_group(schools)
    yield "targets", plot.targets(schools)
    yield "residuals", plot.residuals(classes)
    yield "qq", plot.qq(classes)
    yield "acf", plot.acf(schools)
    yield "influence", plot.influence(classes)
    yield "predictive", plot.predictive(classes, "school")
    yield "profile", plot.profile(classes)
    sampled = ml.fit("score ~ ses + (ses | school)", pupils, estimator="nuts", draws=400, tune=400)
    yield "trace", plot.trace(sampled, "sd")
    yield "rank", plot.rank(sampled)
    yield "pair", plot.pair(sampled, ["beta[Intercept]", "sd[school, Intercept]", "cor[school, Intercept, ses]"])
    yield "energy", plot.energy(sampled)


def small(figure) -> bytes:
    """The figure as a PNG of few colours."""
    full, out = BytesIO(), BytesIO()
    figure.savefig(full, dpi=100)
    Image.open(full).convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> int:
    """Write the images; 1 when one is too large to carry along."""
    IMAGES.mkdir(exist_ok=True)
    large = 0
    for name, figure in pictures():
        path = IMAGES / f"{name}.png"
        path.write_bytes(small(figure))
        size = path.stat().st_size
        large += size > LARGEST
        print(f"{name:<16} {size / 1000:5.1f} kB{'  too large' if size > LARGEST else ''}")
    return int(large > 0)


if __name__ == "__main__":
    sys.exit(main())
