"""Made the JSON files of this folder: ``python tests/reference/collect.py REFERENCE`` (run by hand, never by a test).

REFERENCE is a folder of reference fits made with R 4.2.2 (lme4 1.1-31, glmmTMB 1.1.5, ordinal 2022.11-16,
nlme 3.1-162, metafor 3.8-1, lmerTest 3.1-3), polished from several starts and checked by a second engine; each number's
origin is kept beside it. `fish.json`, which joins the generalized ones, is what ``Rscript fish.R`` prints.
"""

from __future__ import annotations

import gzip
import json
import math
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
# fits whose formula is written in another package's words: the same model in ours
IN_OUR_WORDS = {
    "oats_lme_reml": "yield ~ nitro + (1 | Block/Variety)",
    "machines_lme_cs_reml": "score ~ Machine + cs(0 + Machine | Worker, hom=TRUE)",
    "ovary_indep_reml": "follicles ~ s + c + (s || Mare)",
    "orthodont_gls_cs_reml": "distance ~ Sex*age11 + (1 | Subject)",
}
# what the fit's own words say and its record leaves out
FACTORS = {"orthodont_gls_cs_reml": {"Sex": {"levels": ["Male", "Female"], "ordered": False}}}
DATA = ("radon_mn.csv", "school3.csv", "bcg.csv", "fish.csv", "inhaler.csv", "salamanders.csv", "scotland_lip.csv")
LARGER_DATA = ("workers.csv", "toenail.csv")

# generalized models: their family, with the name of its dispersion and what R calls `sigma`
FAMILIES = {
    "binomial": ("binomial", "", ""),
    "poisson": ("poisson", "", ""),
    "nbinom2": ("negative_binomial", "shape", "size"),
    "nbinom1": ("negative_binomial_1", "phi", "size"),
    "beta": ("beta", "phi", "size"),
    "betabinomial": ("beta_binomial", "phi", "size"),
    "Gamma": ("gamma", "shape", "coefficient of variation"),
    "t": ("student", "sigma", "size"),
    "zero_inflated_poisson": ("zero_inflated_poisson", "", ""),
    "zero_inflated_nbinom2": ("zero_inflated_negative_binomial", "shape", "size"),
    "hurdle_poisson": ("hurdle_poisson", "", ""),
    "hurdle_nbinom2": ("hurdle_negative_binomial", "shape", "size"),
    "cumulative": ("cumulative", "", ""),
    "gaussian": ("gaussian", "sigma", "size"),
}
VARYING_SIGMA = ("orthodont_hetvar_ml", "orthodont_hetvar_int_lme_ml")  # normal responses, two residual variances
SPATIAL = ("scotland_bym_laplace", "scotland_car_laplace", "scotland_icar_laplace")
# lme4 takes the expected information into Laplace's determinant: `docs/engines.md`
EXPECTED = ("cbpp_probit", "cbpp_cloglog")


def mixed(record: dict) -> dict:
    """What a test needs of one linear mixed model."""
    formula = IN_OUR_WORDS.get(record["id"], record["formula"])
    for name, factor in (record.get("factors") or {}).items():
        if factor["ordered"]:
            formula = formula.replace(name, f"C({name}, Poly)", 1)
    varcorr = record.get("varcorr") or {}
    inference = (record.get("inference") or {}).get("satterthwaite") or {}
    out = {
        "id": record["id"],
        "origin": record["engine"],
        "source": record["source"],
        "prep": record.get("prep") or [],
        "factors": record.get("factors") or FACTORS.get(record["id"], {}),
        "formula": formula,
        "method": record["method"],
        "n_obs": record["n_obs"],
        "loglik": record["loglik"],
        "fixef": [[name, v["est"], v["se"]] for name, v in record["fixef"].items()],
        "sd": {group: list(v["sd"].values()) for group, v in varcorr.items()},
        "cor": {group: v["cor"] for group, v in varcorr.items() if v["cor"]},
        "sigma": record["sigma"] if varcorr else None,
        "singular": bool(record.get("singular")),
        "ranef": record.get("ranef") or {} if varcorr else {},
        "fitted_head": record.get("fitted_head") if varcorr else None,
    }
    if inference:
        out["df"] = [inference[name]["df"] for name in record["fixef"]]
    for key in ("profile_ci_95", "predict_new", "icc", "icc_by_group", "r2_nakagawa"):
        if record.get(key):
            out[key] = record[key]
    return out


def is_generalized(record: dict) -> bool:
    if record["id"] in VARYING_SIGMA:
        return True
    return record.get("family") not in (None, "gaussian") and record["id"] not in SPATIAL


def generalized(record: dict) -> dict:
    """What a test needs of one generalized model, its formula in our words."""
    record = standardised(record)
    family, _, _ = FAMILIES[record["family"]]
    quadrature = record["method"].startswith("AGQ")
    crosscheck = record.get("crosscheck") or {}
    logliks = [record.get("loglik_full", record["loglik"]), crosscheck.get("loglik")]
    if quadrature or record["id"] in EXPECTED:
        logliks = logliks[:1]
    out = {
        "id": record["id"],
        "origin": record["engine"],
        "source": record["source"].split(" + ")[0],
        "prep": record.get("prep") or [],
        "factors": record.get("factors") or {},
        "formula": record["formula"] + parts(record),
        "family": family,
        "link": record["link"],
        "nodes": int(record["method"].split()[1]) if quadrature else 1,
        "n_obs": record["n_obs"],
        "loglik": max((v for v in logliks if v is not None), default=None),
        "loglik_nodes": record["loglik"] if quadrature else None,  # lme4: without the saturated log-likelihood
        "information": "expected" if record["id"] in EXPECTED else "observed",
        "fixef": coefficients(record),
        "dispersion": dispersion(record),
        "sd": {g: list(v["sd"].values()) for g, v in record["varcorr"].items()},
        "cor": {g: v["cor"] for g, v in record["varcorr"].items() if v["cor"]},
        "sd_zi": {g: list(v["sd"].values()) for g, v in (record.get("varcorr_zi") or {}).items()},
        "ranef": record.get("ranef") or {},
        "ranef_zi": record.get("ranef_zi") or {},
        "fitted_head": record.get("fitted_head"),
        "singular": bool(record.get("singular")),
    }
    for key in ("icc", "r2_nakagawa", "loglik_conditional", "errors"):
        if record.get(key):
            out[key] = record[key]
    return out


def standardised(record: dict) -> dict:
    """The three fits whose records have another form, in that of the rest."""
    if record["id"] == "scotland_iid_laplace":
        ml = record["estimates"]["ml"]
        return {
            **record,
            "formula": record["formula"].replace("iid(district)", "(1 | district)"),
            "method": "Laplace",
            "loglik": ml["loglik"],
            "fixef": ml["fixef"],
            "varcorr": {"district": {"sd": {"(Intercept)": ml["parameters"]["sd_iid"]}, "cor": []}},
            "fitted_head": ml["fitted_head"],
        }
    if record["id"] == "bcg_or_glmm":  # an effect of each trial, of which the record keeps the treatment's alone
        return {
            **record,
            "formula": "cbind(event, nonevent) ~ trial + treat + (0 + half | trial)",  # metafor's coding = 1/2
            "method": "AGQ 7",
            "n_obs": 26,
            "loglik": None,
            "loglik_conditional": record["loglik"],  # given the modes: `docs/engines.md`
            "prep": [{"arms": ["tpos", "tneg", "cpos", "cneg"]}],
            "factors": {"trial": {"levels": [str(i) for i in range(1, 14)], "ordered": False}},
            "fixef": {"treat": record["estimate"]},
            "varcorr": {"trial": {"sd": {"half": record["tau"]}, "cor": []}},
        }
    if record["id"] == "orthodont_hetvar_int_lme_ml":  # the errors of nlme's coefficients are those of n - p
        ratio = math.log(record["variance_function"]["parameters"]["Male"])
        return {
            **record,
            "formula": "distance ~ age * Sex + (1 | Subject)",
            "method": "Laplace",
            "dispformula": "~Sex",
            "factors": {"Sex": {"levels": ["Male", "Female"], "ordered": False}},
            "fixef": {n: {"est": v["est"], "se": None} for n, v in record["fixef"].items()},
            "errors": [v["se"] for v in record["fixef"].values()],
            "fixef_disp": {
                "(Intercept)": {"est": 2 * (math.log(record["sigma"]) + ratio), "se": None},
                "SexFemale": {"est": -2 * ratio, "se": None},
            },
        }
    return record


def parts(record: dict) -> str:
    """The formulas of further parameters, behind a semicolon."""
    out = ""
    _, name, _ = FAMILIES[record["family"]]
    if record.get("dispformula", "~1") not in ("~1", "~0"):
        out += f"; {name} {spaced(record['dispformula'])}"
    if record.get("ziformula", "~0") not in ("~1", "~0"):
        out += f"; {'hu' if record['family'].startswith('hurdle') else 'zi'} {spaced(record['ziformula'])}"
    return out


def spaced(formula: str) -> str:
    return formula.replace("~", "~ ", 1)


def coefficients(record: dict) -> list:
    """Thresholds, coefficients, then those of further parameters, in the order of ours; (name, estimate, error)."""
    out = [[f"Intercept[{k}]", v["est"], v["se"]] for k, v in enumerate((record.get("thresholds") or {}).values(), 1)]
    out += [[name, v["est"], v["se"]] for name, v in record["fixef"].items()]
    # glmmTMB 1.1.5 models the log of the normal variance, ours the log of the standard deviation
    half = 0.5 if record["family"] == "gaussian" else 1.0
    if record.get("dispformula", "~1") not in ("~1", "~0"):
        out += [[f"disp_{n}", half * v["est"], v["se"] and half * v["se"]] for n, v in record["fixef_disp"].items()]
    if record.get("ziformula", "~0") not in ("~1", "~0"):
        out += [[f"zi_{n}", v["est"], v["se"]] for n, v in record["fixef_zi"].items()]
    return out


def dispersion(record: dict) -> dict:
    """Constants of the family on their natural scale."""
    out = {}
    _, name, kind = FAMILIES[record["family"]]
    if name and record.get("sigma") is not None and record.get("dispformula", "~1") == "~1":
        out[name] = record["sigma"] if kind == "size" else record["sigma"] ** -2
    if record.get("family_par"):
        out["nu"] = record["family_par"]["df"]
    if record.get("ziformula") == "~1":
        out["hu" if record["family"].startswith("hurdle") else "zi"] = expit(record["fixef_zi"]["(Intercept)"]["est"])
    return out


def expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def main(reference: Path) -> None:
    mixed_fits, meta_fits = [], []
    generalized_fits = json.loads((HERE / "fish.json").read_text(encoding="utf-8"))
    for path in sorted((reference / "fits").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if is_generalized(record):
            generalized_fits.append(generalized(record))
        if record.get("family") != "gaussian":
            continue
        if record["id"] in IN_OUR_WORDS or (record["engine"].startswith("lme4") and record["method"] in ("ML", "REML")):
            mixed_fits.append(mixed(record))
        elif record["kind"] == "meta" and record["method"] in ("ML", "REML") and record.get("test") == "z":
            keys = ("id", "source", "formula", "method", "yi", "vi", "loglik", "fixef", "tau2", "blup_head")
            meta_fits.append({"origin": record["engine"], **{k: record[k] for k in keys}})
    for name, fits in (
        ("lme4_fits.json", mixed_fits),
        ("metafor_fits.json", meta_fits),
        ("glmm_fits.json", generalized_fits),
    ):
        lines = ",\n".join(json.dumps(f, ensure_ascii=False) for f in fits)
        (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    for name in DATA:
        shutil.copyfile(reference / "data" / name, HERE / "data" / name)
    for name in LARGER_DATA:
        raw = (reference / "data" / name).read_bytes()
        (HERE / "data" / f"{name}.gz").write_bytes(gzip.compress(raw, 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
