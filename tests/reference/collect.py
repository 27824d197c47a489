"""Made the JSON files of this folder: ``python tests/reference/collect.py REFERENCE`` (run by hand, never by a test).

REFERENCE is a folder of reference fits made with R 4.2.2 (lme4 1.1-31, nlme 3.1-162, metafor 3.8-1, lmerTest 3.1-3),
polished from several starts and checked by a second engine; each number's origin is kept beside it.
"""

from __future__ import annotations

import gzip
import json
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
DATA = ("radon_mn.csv", "school3.csv", "bcg.csv")


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


def main(reference: Path) -> None:
    mixed_fits, meta_fits = [], []
    for path in sorted((reference / "fits").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("family") != "gaussian":
            continue
        if record["id"] in IN_OUR_WORDS or (record["engine"].startswith("lme4") and record["method"] in ("ML", "REML")):
            mixed_fits.append(mixed(record))
        elif record["kind"] == "meta" and record["method"] in ("ML", "REML") and record.get("test") == "z":
            keys = ("id", "source", "formula", "method", "yi", "vi", "loglik", "fixef", "tau2", "blup_head")
            meta_fits.append({"origin": record["engine"], **{k: record[k] for k in keys}})
    for name, fits in (("lme4_fits.json", mixed_fits), ("metafor_fits.json", meta_fits)):
        lines = ",\n".join(json.dumps(f, ensure_ascii=False) for f in fits)
        (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    for name in DATA:
        shutil.copyfile(reference / "data" / name, HERE / "data" / name)
    raw = (reference / "data" / "workers.csv").read_bytes()
    (HERE / "data" / "workers.csv.gz").write_bytes(gzip.compress(raw, 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
