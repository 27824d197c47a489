"""What is asked of a fit, against R, in one run: ``python benchmarks/answers.py``; writes results/answers.md.

Both sides get a fitted model of sleepstudy (180 rows, 18 subjects, REML, `(Days | Subject)`); the least of three turns
counts. R's work is timed inside R.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import multilevel as ml

HERE = Path(__file__).parent
TURNS = 3

R = r"""
suppressMessages({library(lme4); library(lmerTest)})
m <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
small <- lme4::lmer(Reaction ~ Days + (1 | Subject), sleepstudy)
least <- function(f) min(sapply(1:3, function(i) system.time(f())[["elapsed"]]))
cat("profile", least(function() suppressMessages(confint(m, quiet = TRUE))), "\n")
cat("bootstrap", least(function() bootMer(m, function(x) c(fixef(x), sigma(x)), nsim = 500)), "\n")
cat("influence", least(function() influence(m, "Subject")), "\n")
lt <- lmerTest::lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
cat("terms", least(function() {print(ranova(lt)); print(anova(lt))}), "\n")
"""


def ours() -> dict[str, Callable[[], object]]:
    """Our side of each line."""
    fit = ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"))
    return {
        "profile": lambda: fit.profile().table,
        "bootstrap": lambda: fit.bootstrap(500).table,
        "influence": lambda: ml.influence(fit).table,
        "terms": lambda: fit.test().table,
        "leave-one-group-out": lambda: ml.logo(fit),
        "pooling": lambda: ml.pooling(fit).scores,
        "check": lambda: ml.check(fit),
    }


WORDS = {
    "profile": ("profile intervals of all parameters", "confint(m)"),
    "bootstrap": ("parametric bootstrap, 500 refits", "bootMer"),
    "influence": ("leave each subject out: β, Cook's distance, variances", 'influence(m, "Subject")'),
    "terms": ("tests of all terms", "lmerTest: ranova and anova"),
    "leave-one-group-out": ("leave-one-group-out score", "–"),
    "pooling": ("no, complete, partial pooling with all scores", "–"),
    "check": ("all checks and advice", "–"),
}


def least(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some turns, after one that does not count."""
    times = []
    for _ in range(TURNS + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def theirs() -> dict[str, float]:
    """R's side, where R is there."""
    if shutil.which("Rscript") is None:
        return {}
    out = subprocess.run(["Rscript", "--vanilla", "-e", R], capture_output=True, text=True, check=False).stdout
    lines = (line.split() for line in out.splitlines())
    return {words[0]: float(words[1]) for words in lines if len(words) == 2 and words[0] in WORDS}


def main() -> None:
    from machine import facts

    found = theirs()
    rows = ["| what | multilevel | R | ratio | in R |", "|---|---|---|---|---|"]
    for name, work in ours().items():
        seconds, (what, call) = least(work), WORDS[name]
        other = found.get(name)
        shown = "– | –" if other is None else f"{other:.3g} s | {other / seconds:.0f}×"
        rows.append(f"| {what} | {seconds:.3g} s | {shown} | {call} |")
        print(rows[-1], flush=True)
    machine = "\n".join(f"- {key}: {value}" for key, value in facts().items())
    text = "\n".join(["# Answers", "", __doc__.split("\n\n")[1].strip(), "", *rows, "", "## Machine", "", machine, ""])
    (HERE / "results" / "answers.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
