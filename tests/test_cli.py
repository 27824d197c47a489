"""The command line: statuses, one line for a failure, nothing written that should not be."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import multilevel as ml
from multilevel import cli

SOURCE = Path(ml.__file__).parents[1]
BUNDLED = resources.files("multilevel.data") / "bundled"
SCHOOLS = str(BUNDLED / "schools.csv")
CLASSES = str(BUNDLED / "classes.csv")
FORMULA = "score ~ 1 + (1 | school)"
KEYS = {
    "schema", "formula", "family", "link", "estimator", "n_obs", "groups", "log_likelihood", "objective", "aic", "bic",
    "n_parameters", "fixed_effects", "variance_components", "correlations", "dispersion", "group_effects", "icc",
    "converged", "singular", "sampled", "draws", "seconds", "warnings",
}  # fmt: skip


def process(*arguments: str, code: str | None = None, **settings) -> subprocess.CompletedProcess:
    """The command in a process of its own (or `code` in its place)."""
    start = ["-c", code] if code else ["-m", "multilevel"]
    return subprocess.run(
        [sys.executable, *start, *arguments], env=environment(), capture_output=True, text=True, timeout=120,
        encoding="utf-8", **settings,
    )  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "MULTILEVEL_QUIET": "1", "PYTHONIOENCODING": "utf-8", **more}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("MULTILEVEL_QUIET", "1")  # --quiet sets it: put back what was there


@pytest.fixture
def run(capsys):
    """The command in this process: status, standard output, lines of standard error."""

    def call(*arguments: str) -> tuple[int, str, list[str]]:
        status = cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return status, out, err.splitlines()

    return call


@pytest.fixture
def table(tmp_path):
    """Write a small table from columns: table(y=[…], g=[…])."""

    def write(name: str = "data.csv", **columns) -> str:
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
        return str(tmp_path / name)

    return write


def grouped(levels=("a", "b", "c", "d"), rows=6) -> dict[str, list]:
    """A response with a clear effect of every level."""
    y, g = [], []
    for i, level in enumerate(levels):
        y += [10.0 * i + (7 * j + 3 * i) % 5 for j in range(rows)]
        g += [level] * rows
    return {"y": y, "g": g}


# --- statuses, each in a process ---------------------------------------------------------------------------------
def test_a_fit_prints_its_summary_and_exits_with_0():
    done = process("fit", SCHOOLS, FORMULA)
    assert (done.returncode, done.stderr) == (0, "")
    assert "REML" in done.stdout
    assert "school 30" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, ["usage", "COMMAND"]),
        (["fit", SCHOOLS, FORMULA, "--frobnicate"], 2, ["usage", "--frobnicate"]),
        (["fit", "absent.csv", FORMULA], 2, ["usage", "absent.csv", "does not exist"]),
        (["fit", str(BUNDLED), FORMULA], 2, ["usage", "directory"]),
        (["fit", SCHOOLS, FORMULA, "--estimator", "remll"], 2, ["usage", "reml"]),
        (["fit", SCHOOLS, "score ~ 1 + (1 | schol)"], 3, ["schol", 'did you mean "school"?']),
        (["fit", SCHOOLS, "score ~ (1 | school) junk"], 3, ["junk"]),
        (["fit", CLASSES, "score ~ ses + (ses | school)", "--set", "maxiter=1"], 4, ["gradient", "iterations"]),
        (["fit", SCHOOLS, FORMULA, "--save", "absent/x.fit"], 5, ["path", "absent"]),
        (["fit", "duckdb:absent.duckdb#t", FORMULA], 5, ["absent.duckdb"]),
        (["predict", SCHOOLS, SCHOOLS], 5, ["not a multilevel fit file"]),
    ],
)  # fmt: skip
def test_failures_are_one_line_with_their_status(arguments, status, words, tmp_path):
    failed = process(*arguments, cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (status, "")
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("multilevel: ")
    assert "Traceback" not in failed.stderr
    assert all(word in failed.stderr for word in words)


BROKEN = "from multilevel import cli\nimport multilevel.model.model as m\ndef fit(*a, **k): {}\nm.Model.fit = fit\n"
BROKEN += "import sys; sys.exit(cli.main(sys.argv[1:]))"


def test_an_internal_failure_is_status_1_and_asks_for_a_report():
    failed = process("fit", SCHOOLS, FORMULA, code=BROKEN.format("raise ZeroDivisionError('oh\\nno')"))
    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stderr
    assert "Please report it" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_an_interrupt_is_status_130():
    # shells may have told their background jobs to ignore it
    interrupt = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
    stop = BROKEN.format(interrupt + "signal.raise_signal(signal.SIGINT); time.sleep(10)")
    failed = process("fit", SCHOOLS, FORMULA, code=stop)
    assert failed.returncode == 130
    assert failed.stderr == "multilevel: error: interrupted\n"


def test_help_and_version():
    assert process("--version").stdout == f"multilevel {ml.__version__}\n"
    helped = process("fit", "--help")
    assert helped.returncode == 0
    assert all(flag in helped.stdout for flag in ("--family", "--json", "--save", "--strict", "exit status"))


def test_help_loads_nothing_heavy():
    code = "import sys\nfrom multilevel import cli\ncli.main(['fit', '--help'])\n"
    code += "sys.exit(bool({'numpy', 'numba', 'pandas', 'scipy', 'matplotlib', 'pyarrow'} & set(sys.modules)))"
    assert process(code=code).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently")
@pytest.mark.parametrize("arguments", [["fit", SCHOOLS, FORMULA], ["fit", SCHOOLS, FORMULA, "--json", "-"], ["--help"]])
def test_a_closed_pipe_is_no_failure(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "multilevel", *arguments],
        env=environment(), stdout=writer, stderr=subprocess.PIPE, timeout=120,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_status_5():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "multilevel", "describe", SCHOOLS, FORMULA],
            env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1


def test_an_output_encoding_without_the_characters_is_no_failure():
    done = subprocess.run(
        [sys.executable, "-m", "multilevel", "describe", SCHOOLS, FORMULA],
        env=environment(PYTHONIOENCODING="ascii"), capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0
    assert b"sd\\xb2" in done.stdout


# --- JSON --------------------------------------------------------------------------------------------------------
def test_json_on_standard_output_has_the_fields_of_its_schema(run):
    status, out, err = run("fit", CLASSES, "score ~ ses + (ses | school)", "--json", "-")
    record = json.loads(out)
    assert (status, err) == (0, [])
    assert set(record) >= KEYS
    assert record["schema"] == "multilevel.fit/1"
    assert record["groups"] == {"school": 14}
    assert [row["term"] for row in record["fixed_effects"]] == ["Intercept", "ses"]
    assert record["variance_components"][-1]["group"] == "Residual"
    assert set(record["group_effects"]["school"][0]) == {"level", "term", "estimate", "std_error"}


def test_json_goes_to_a_file_beside_the_summary(run, tmp_path):
    status, out, _ = run("fit", SCHOOLS, FORMULA, "--json", tmp_path / "fit.json")
    assert status == 0
    assert "REML criterion" in out
    assert json.loads((tmp_path / "fit.json").read_text())["n_obs"] == 1500
    assert [p.name for p in tmp_path.iterdir()] == ["fit.json"]


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["fit", "absent.csv", FORMULA], 2, "E_USAGE"),
        (["fit", SCHOOLS, FORMULA, "--nope"], 2, "E_USAGE"),
        (["fit", SCHOOLS, "score ~ x + (1 | school)"], 3, "E_UNKNOWN_COLUMN"),
        (["fit", SCHOOLS, FORMULA, "--family", "gausian"], 2, "E_SETTING"),
    ],
)
def test_failures_are_json_when_json_was_asked_for(run, arguments, status, code):
    found, out, err = run(*arguments, "--json", "-")
    assert (found, out, len(err)) == (status, "", 1)
    record = json.loads(err[0])
    assert set(record) == {"code", "message", "hint"}
    assert record["code"] == code


def test_a_data_error_names_column_and_row(run, table):
    columns = grouped()
    columns["y"][0] = "inf"
    status, _, err = run("fit", table(**columns), "y ~ 1 + (1 | g)")
    assert status == 3
    assert "y" in err[0]
    assert "row 0" in err[0]


# --- outputs -----------------------------------------------------------------------------------------------------
@pytest.fixture
def nothing_runs(monkeypatch):
    """Any look at the data is an error."""

    def refuse(*_, **__):
        raise AssertionError("the data was read")

    monkeypatch.setattr("multilevel.data.tables.as_table", refuse)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("flag", ["--json", "--save", "--report"])
def test_outputs_are_checked_before_anything_else(run, tmp_path, flag):
    taken = tmp_path / "taken"
    taken.write_text("precious")
    status, _, err = run("fit", SCHOOLS, FORMULA, flag, taken)
    assert status == 5
    assert "--force" in err[0]
    assert taken.read_text() == "precious"
    assert run("fit", SCHOOLS, FORMULA, flag, tmp_path)[0] == 5
    assert run("fit", SCHOOLS, FORMULA, flag, tmp_path / "no" / "x")[0] == 5


@pytest.mark.usefixtures("nothing_runs")
def test_input_and_outputs_are_different_files(run, table, tmp_path):
    data = table(**grouped())
    assert run("fit", data, "y ~ 1 + (1 | g)", "--json", data, "--force")[0] == 2
    both = tmp_path / "out"
    assert run("fit", data, "y ~ 1 + (1 | g)", "--json", both, "--save", both)[0] == 2


def test_force_replaces(run, tmp_path):
    taken = tmp_path / "fit.json"
    taken.write_text("old")
    assert run("fit", SCHOOLS, FORMULA, "--json", taken, "--force", "--quiet") == (0, "", [])
    assert json.loads(taken.read_text())["converged"]


# --- settings and warnings ---------------------------------------------------------------------------------------
def test_level_reaches_the_summary_and_the_json(run):
    assert "l-80% CI" in run("fit", SCHOOLS, FORMULA, "--level", "0.8")[1]
    record = json.loads(run("fit", SCHOOLS, FORMULA, "--level", "0.8", "--json", "-")[1])
    fit = ml.fit(FORMULA, ml.datasets.load("schools"))
    assert record["fixed_effects"][0]["lower"] == pytest.approx(fit.confint(0.8)["lower"][0])
    assert run("fit", SCHOOLS, FORMULA, "--level", "95")[0] == 2


def test_estimator_and_weights_and_offset(run, table):
    data = table(**grouped(), w=[1.0, 2.0] * 12, o=[0.5] * 24)
    arguments = ["fit", data, "y ~ 1 + (1 | g)", "--estimator", "ml", "--weights", "w", "--offset", "o", "--json", "-"]
    record = json.loads(run(*arguments)[1])
    direct = ml.fit("y ~ 1 + (1 | g)", data, estimator="ml", weights="w", offset="o")
    assert record["estimator"] == "ml"
    assert record["log_likelihood"] == pytest.approx(direct.log_likelihood)


def singular() -> dict[str, list]:
    """Four groups with equal means."""
    return {"y": [1.0, 2.0, 3.0, 4.0, 5.5, 6.5] * 4, "g": [level for level in "abcd" for _ in range(6)]}


def test_warnings_are_single_lines_and_strict_turns_them_into_status_4(run, table, tmp_path):
    data = table(**singular())
    status, out, err = run("fit", data, "y ~ 1 + (1 | g)")
    assert (status, len(err)) == (0, 1)
    assert err[0].startswith("warning: boundary fit")
    assert "exactly 0" in out
    status, out, err = run("fit", data, "y ~ 1 + (1 | g)", "--strict", "--json", tmp_path / "fit.json")
    assert status == 4
    assert json.loads(err[-1])["code"] == "E_STRICT"
    assert json.loads((tmp_path / "fit.json").read_text())["singular"]
    assert "Std.Dev." in out


def test_strict_accepts_a_regular_fit(run):
    assert run("fit", SCHOOLS, FORMULA, "--strict", "--quiet") == (0, "", [])


def test_missing_rows_are_reported_once(run, table):
    columns = grouped()
    columns["y"][3] = ""
    status, out, err = run("fit", table(**columns), "y ~ 1 + (1 | g)")
    assert status == 0
    assert [line[:9] for line in err] == ["warning: "]
    assert "23 rows (1 of 24 dropped" in out


def test_debug_shows_the_traceback(run):
    _, _, err = run("fit", SCHOOLS, "score ~ nope", "--debug")
    assert err[0].startswith("Traceback")
    assert err[-1].startswith("multilevel: error: ")


def test_settings_of_estimators(run):
    assert run("fit", SCHOOLS, FORMULA, "--set", "maxiter=50", "--quiet")[0] == 0
    assert "maxiter" in run("fit", SCHOOLS, FORMULA, "--set", "maxitr=50")[2][0]
    assert run("fit", SCHOOLS, FORMULA, "--set", "maxiter")[0] == 2


# --- samplers ----------------------------------------------------------------------------------------------------
SAMPLED = ("--estimator", "collapsed", "--draws", "200", "--chains", "2")


def test_sampled_fits(run, tmp_path):
    files = {name: tmp_path / f"fit.{name}" for name in ("json", "fit", "html")}
    status, out, err = run("fit", SCHOOLS, FORMULA, *SAMPLED, "--seed", "3", "--strict", "--json", files["json"],
                           "--save", files["fit"], "--report", files["html"])  # fmt: skip
    assert (status, err) == (0, [])
    assert "Bayesian linear mixed model, sampled" in out
    assert "2 chains of 200" in out
    record = json.loads(files["json"].read_text())
    assert set(record) >= KEYS
    assert record["sampled"] is True
    assert (record["sampler"]["chains"], record["sampler"]["draws"], record["sampler"]["seed"]) == (2, 200, 3)
    assert record["draws"] == 400
    assert record["fixed_effects"][0]["rhat"] < 1.05
    assert ml.load(files["fit"]).draws["beta"].shape == (400, 1)
    assert "Bayesian, by sampling" in files["html"].read_text(encoding="utf-8")
    again = run("fit", SCHOOLS, FORMULA, *SAMPLED, "--seed", "3", "--json", "-")[1]
    assert json.loads(again)["fixed_effects"] == record["fixed_effects"]
    other = run("fit", SCHOOLS, FORMULA, *SAMPLED, "--seed", "4", "--json", "-")[1]
    assert json.loads(other)["fixed_effects"] != record["fixed_effects"]


def test_bad_draws_are_refused_under_strict(run, tmp_path):
    few = ("--estimator", "collapsed", "--draws", "20", "--chains", "2")
    saved = tmp_path / "a.fit"
    status, out, err = run("fit", SCHOOLS, FORMULA, *few, "--strict", "--save", saved)
    assert status == 4
    assert "Bayesian" in out
    assert "fewer than 200 effective draws" in err[0]
    assert err[-1].startswith("multilevel: error: refused under --strict")
    assert saved.exists()
    assert run("fit", SCHOOLS, FORMULA, *few, "--quiet")[0] == 0


def test_settings_of_samplers_are_for_samplers(run):
    status, _, err = run("fit", SCHOOLS, FORMULA, "--draws", "100")
    assert status == 2
    assert "--estimator nuts" in err[0]
    assert run("fit", SCHOOLS, FORMULA, "--estimator", "reml", "--chains", "2")[0] == 2
    assert run("fit", SCHOOLS, FORMULA, "--estimator", "collapsed", "--draws", "0")[0] == 2
    assert run("fit", SCHOOLS, FORMULA, "--estimator", "nonsense", "--draws", "10")[0] == 2


def test_an_interrupt_says_how_far_it_came(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt("interrupted at iteration 7")

    monkeypatch.setattr("multilevel.model.model.Model.fit", interrupted)
    assert run("fit", SCHOOLS, FORMULA) == (130, "", ["multilevel: error: interrupted at iteration 7"])


# --- describe, data ----------------------------------------------------------------------------------------------
def test_describe_does_not_fit(run, monkeypatch):
    monkeypatch.setattr("multilevel.model.model.Model.fit", lambda *_, **__: 1 / 0)
    status, out, err = run("describe", SCHOOLS, FORMULA)
    assert (status, err) == (0, [])
    assert "30 levels, 50 rows each" in out


@pytest.mark.parametrize("kind", ["tsv", "parquet", "feather", "arrow", "duckdb"])
def test_formats(run, tmp_path, kind):
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import feather, parquet

    data = pa.Table.from_pandas(ml.datasets.load("schools"))
    path = tmp_path / f"schools.{kind}"
    location = str(path)
    if kind == "tsv":
        arrow_csv.write_csv(data, path, arrow_csv.WriteOptions(delimiter="\t"))
    elif kind == "parquet":
        parquet.write_table(data, path)
    elif kind == "duckdb":
        import duckdb

        with duckdb.connect(location) as connection:
            connection.register("given", data)
            connection.execute("CREATE TABLE schools AS SELECT * FROM given")
        location = f"duckdb:{location}#schools"
    else:
        feather.write_feather(data, str(path), compression="uncompressed")
    status, out, _ = run("fit", location, FORMULA, "--json", "-")
    assert status == 0
    assert json.loads(out)["objective"] == pytest.approx(ml.fit(FORMULA, ml.datasets.load("schools")).objective)


# --- predict -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("fits") / "schools.fit"
    ml.fit(FORMULA, ml.datasets.load("schools")).save(path)
    return str(path)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_save_and_predict(run, table, saved):
    status, out, err = run("predict", saved, table(school=["S01", "S14"]))
    found = rows(out)
    assert (status, err) == (0, [])
    assert list(found[0]) == ["school", "estimate", "std_error", "lower", "upper"]
    expected = ml.load(saved).predict({"school": ["S01", "S14"]})
    assert [float(r["upper"]) for r in found] == expected["upper"].tolist()
    assert [r["school"] for r in found] == ["S01", "S14"]


def test_predict_targets(run, table, saved):
    new = table(school=["elsewhere"])
    status, _, err = run("predict", saved, new)
    assert status == 3
    assert "target=" in err[0]
    for target in ("new_group", "school=new_group"):
        status, out, _ = run("predict", saved, new, "--target", target, "--kind", "response", "--interval", "0.5")
        assert status == 0
        assert float(rows(out)[0]["lower"]) < 69.6 < float(rows(out)[0]["upper"])
    points = run("predict", saved, new, "--target", "reference", "--interval", "none")[1]
    assert list(rows(points)[0]) == ["school", "estimate"]
    assert run("predict", saved, new, "--target", "new_grp")[0] == 2
    assert run("predict", saved, new, "--interval", "wide")[0] == 2
    assert run("predict", saved, new, "--target", "new_group", "--target", "reference")[0] == 2


def test_predict_writes_a_file(run, table, saved, tmp_path):
    new = table(school=["S01"])
    assert run("predict", saved, new, "--output", tmp_path / "p.csv") == (0, "", [])
    assert rows((tmp_path / "p.csv").read_text())[0]["school"] == "S01"
    assert run("predict", saved, new, "--output", tmp_path / "p.csv")[0] == 5
    assert run("predict", saved, new, "--output", new, "--force")[0] == 2


def test_predict_reports_a_damaged_fit(run, table, saved, tmp_path):
    broken = tmp_path / "broken.fit"
    content = bytearray(Path(saved).read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    assert run("predict", broken, table(school=["S01"]))[0] == 5
    assert run("predict", tmp_path / "absent.fit", table(school=["S01"]))[0] == 2


# --- hostile names -----------------------------------------------------------------------------------------------
HOSTILE = ["=1+cmd()", "+1-x", "@sum", "-2", "\x1b[31mred", "abc\u202edef", '"quoted",\n', "plain"]


def test_hostile_labels_reach_no_terminal_and_no_spreadsheet(run, table, tmp_path):
    data = table(**grouped(HOSTILE))
    path = tmp_path / "h.fit"
    status, out, _ = run("fit", data, "y ~ 1 + (1 | g)", "--save", path)
    assert status == 0
    everything = [out, run("fit", data, "y ~ 1 + (1 | g)", "--json", "-")[1], run("predict", path, data)[1]]
    for text in everything:
        assert "\x1b" not in text
        assert "\u202e" not in text
    labels = {r["g"] for r in rows(everything[-1])}
    assert {"'=1+cmd()", "'+1-x", "'@sum", "-2", "plain", "\\x1b[31mred"} <= labels


def test_hostile_arguments_stay_on_one_line(run, tmp_path):
    for arguments in (["fit", "a\n\x1b[2Jb.csv", FORMULA], ["fit", SCHOOLS, "score ~ \x1b[2J\n"], ["\x1b[2J"]):
        _, out, err = run(*arguments)
        assert (out, len(err)) == ("", 1)
        assert "\x1b" not in err[0]


def test_column_names_are_names(run, table, tmp_path):
    canary = tmp_path / "canary"
    name = f"__import__('os').system('touch {canary}')"
    columns = grouped()
    data = table(**{"y": columns["y"], name: columns["g"]})
    assert run("fit", data, f"y ~ 1 + (1 | `{name}`)", "--quiet")[0] == 0
    assert run("fit", data, f"y ~ 1 + {name}")[0] == 3
    assert not canary.exists()


# --- check, report ------------------------------------------------------------------------------------------------
def test_check_of_data_and_of_a_saved_fit(run, saved):
    status, out, err = run("check", CLASSES, "score ~ ses + funding + (1 | school)")
    assert (status, err) == (0, [])
    assert "left out" in out  # the classroom, which only the data know
    assert out.splitlines()[0].startswith("Checks: ")
    status, out, _ = run("check", saved, "--json")
    record = json.loads(out)
    assert status == 0
    assert record["worst"] == "ok"
    assert {"code", "severity", "title", "evidence", "remedy", "values"} == set(record["findings"][0])


def test_check_under_strict_refuses_problems(run, tmp_path):
    arguments = ["check", CLASSES, "score ~ ses + funding + (1 | school)", "--strict", "--json", tmp_path / "c.json"]
    status, out, err = run(*arguments, "--quiet")
    assert (status, out) == (4, "")
    assert json.loads(err[-1])["code"] == "E_STRICT"
    assert json.loads((tmp_path / "c.json").read_text())["worst"] == "problem"


def test_report_of_a_saved_fit(run, saved, tmp_path):
    path = tmp_path / "r.html"
    assert run("report", saved, "-o", path, "--title", "<Thirty> schools") == (0, "", [])
    text = path.read_text(encoding="utf-8")
    assert "<title>&lt;Thirty&gt; schools</title>" in text
    assert run("report", saved, "-o", path)[0] == 5  # not without --force
    assert run("report", saved, "--output", path, "--force", "--seed", "3")[0] == 0
    assert run("report", saved, "-o", saved, "--force")[0] == 2
    assert run("report", saved)[0] == 2
    assert run("report", SCHOOLS, "-o", tmp_path / "x.html")[0] == 5  # data without a formula is no saved fit


def test_report_of_data_and_beside_a_fit(run, table, tmp_path):
    data = table(**grouped())
    assert run("report", data, "y ~ 1 + (1 | g)", "-o", tmp_path / "a.html", "--estimator", "ml")[0] == 0
    assert "model.fit(&quot;ml&quot;)" in (tmp_path / "a.html").read_text(encoding="utf-8")
    status, out, _ = run("fit", data, "y ~ 1 + (1 | g)", "--report", tmp_path / "b.html")
    assert status == 0
    assert "REML criterion" in out
    assert "The answers" in (tmp_path / "b.html").read_text(encoding="utf-8")


# --- pooling, compare ----------------------------------------------------------------------------------------------
def test_pooling_side_by_side(run, tmp_path):
    status, out, err = run("pooling", SCHOOLS, FORMULA, "--json", tmp_path / "p.json")
    assert (status, err) == (0, [])
    assert "partial" in out
    json.loads((tmp_path / "p.json").read_text())
    formula = "score ~ ses + (1 | school) + (1 | classroom)"
    status, out, _ = run("pooling", CLASSES, formula, "--group", "school", "--json")
    assert status == 0
    json.loads(out)
    assert run("pooling", SCHOOLS, FORMULA, "--group", "schol")[0] == 2


def test_compare_ranks_formulas(run):
    formulas = ["score ~ ses", "score ~ ses + (1 | school)", "score ~ ses + (ses | school)"]
    status, out, err = run("compare", CLASSES, *formulas)
    assert (status, err) == (0, [])
    assert "AIC" in out.upper()
    status, out, _ = run("compare", CLASSES, *formulas, "--json", "-")
    assert status == 0
    json.loads(out)
    status, _, err = run("compare", CLASSES, formulas[0])
    assert status == 2
    assert "two formulas" in err[0]


def test_compare_uses_the_rows_that_all_models_can_use(run, tmp_path):
    table = ml.datasets.load("classes")
    table.loc[[3, 50, 700], "ses"] = float("nan")
    path = tmp_path / "holes.csv"
    table.to_csv(path, index=False)
    status, out, _ = run("compare", path, "score ~ 1 + (1 | school)", "score ~ ses + (1 | school)", "--json", "-")
    assert status == 0
    whole = table.dropna()
    fits = [ml.fit(f, whole, estimator="ml") for f in ("score ~ 1 + (1 | school)", "score ~ ses + (1 | school)")]
    found = json.dumps(json.loads(out))
    assert all(f"{fit.aic:.3f}"[:-1] in found for fit in fits)


# --- demo --------------------------------------------------------------------------------------------------------
def test_demo(run, tmp_path):
    status, out, err = run("demo", "--output", tmp_path / "out")
    assert (status, err) == (0, [])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "caterpillar.png", "new_group.png", "report.html", "schools.fit", "shrinkage.png", "variance_shares.png",
    ]  # fmt: skip
    for script in ("69.6141", "4.5539", "9.8981", "0.914", "1.338", "1.400", "0.175", "70.26", "62.59"):
        assert script in out  # every number that the textbook's script prints
    assert "52.8 73.5 68.8 65.6 54.5 75.3 65.0 58.7 41.8 70.0" in out
    assert "pulled 8.6% of the way" in out
    assert "3.49 to 6.16" in out
    assert "60.05 to  79.18" in out
    assert "could not be computed" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert run("demo", "--output", tmp_path / "out", "--quiet") == (0, "", [])  # again, over its own files
    assert ml.load(tmp_path / "out" / "schools.fit").n_obs == 1500


def test_demo_refuses_a_file_as_directory(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert run("demo", "--output", tmp_path / "file")[0] == 5


# --- families ------------------------------------------------------------------------------------------------------
@pytest.fixture
def families(table):
    """Counts, successes of trials, ratings and names of choices."""
    g, x = [f"g{i % 8}" for i in range(96)], [((7 * i) % 13) / 6.0 - 1.0 for i in range(96)]
    mean = [round(2.0 + x[i] + (i % 8) / 3.0) for i in range(96)]
    y = [max(mean[i] + (5 * i) % 4 - 2, 0) for i in range(96)]
    k, n = [min(y[i], 6) for i in range(96)], [7] * 96
    r = [min(max(mean[i] + (3 * i) % 5 - 3, 0), 3) + 1 for i in range(96)]
    t, w = [1.0 + (i % 3) for i in range(96)], [0.1 * (i % 2) for i in range(96)]
    return table(y=y, k=k, n=n, r=r, x=x, g=g, t=t, w=w)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["y ~ x + (1 | g)", "--family", "poisson"], "Poisson(mu)"),
        (["k ~ x + (1 | g)", "--family", "binomial", "--trials", "n"], "96 rows, 672 trials"),
        (["k | weights(t) ~ x", "--family", "binomial", "--trials", "n"], "k | weights(t) + trials(n) ~ x"),
        (["k | trials(n) ~ x + (1 | g)", "--family", "binomial", "--link", "probit"], "probit(mu)"),
        (["r ~ x + (1 | g)", "--family", "ordinal"], "Thresholds:"),
        (["y ~ x + (1 | g); zi ~ x", "--family", "zip"], "logit(zi) = b2 + b3·x"),
        (["y ~ x + (1 | g)", "--family", "nbinom2", "--offset", "w"], "offset"),
        (["y ~ x", "--family", "poisson"], "no grouping term"),
        (["k ~ x + (1 | g)", "--family", "binomial", "--trials", "n", "--estimator", "agq"], "quadrature"),
    ],
)  # fmt: skip
def test_families_are_fitted(run, families, arguments, shown):
    status, out, _ = run("fit", families, *arguments)
    assert status == 0
    assert shown in out
    status, out, _ = run("describe", families, *[a for a in arguments if a not in ("--estimator", "agq")])
    assert status == 0
    assert "Generalized linear" in out


def test_predictions_of_trials_and_ratings(run, families, table, tmp_path):
    path, new = tmp_path / "k.fit", table("new.csv", x=[0.0, 1.0], g=["g1", "g2"], n=[3, 9])
    assert run("fit", families, "k ~ x + (1 | g)", "--family", "binomial", "--trials", "n", "--save", path)[0] == 0
    texts = (run("predict", path, new, "--kind", kind)[1] for kind in ("mean", "response"))
    mean, count = (list(csv.DictReader(io.StringIO(text))) for text in texts)
    for m, c, n in zip(mean, count, (3, 9), strict=True):
        assert float(c["estimate"]) == pytest.approx(n * float(m["estimate"]))
        assert 0.0 < float(m["lower"]) < float(m["upper"]) < 1.0
    short = table("short.csv", x=[0.0], g=["g1"])
    status, out, err = run("predict", path, short, "--kind", "response")
    assert (status, out) == (3, "")
    assert "trials" in err[0]
    other = table("other.csv", x=[0.0], n=[2])
    assert run("predict", path, other, "--target", "new_group", "--kind", "response")[0] == 0
    path = tmp_path / "r.fit"
    assert run("fit", families, "r ~ x + (1 | g)", "--family", "cumulative", "--save", path)[0] == 0
    (row, _) = csv.DictReader(io.StringIO(run("predict", path, new)[1]))
    assert sum(float(row[f"estimate[{k}]"]) for k in (1, 2, 3, 4)) == pytest.approx(1.0)
    (row, _) = csv.DictReader(io.StringIO(run("predict", path, new, "--kind", "response")[1]))
    assert row["category"] in "1234"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["k ~ x", "--family", "binomail"], 2, 'did you mean "binomial"?'),
        (["y ~ x", "--family", "poisson", "--link", "lag"], 2, 'did you mean "log"?'),
        (["k ~ x", "--family", "binomial", "--trials", "m"], 3, 'unknown column "m"'),
        (["k ~ x", "--family", "poisson", "--trials", "n"], 3, "binomial"),
        (["k ~ x", "--family", "binomial"], 3, "trials(n)"),
        (["x ~ 1", "--family", "poisson"], 3, "row 0"),
        (["y ~ x; zi ~ x", "--family", "poisson"], 3, '"zi"'),
        (["y ~ x; zi ~ ", "--family", "zip"], 3, "formula"),
        (["k junk", "--family", "binomial", "--trials", "n"], 3, "junk"),
        (["y ~ x + (1 | g)", "--family", "poisson", "--estimator", "reml"], 3, "laplace"),
    ],
)  # fmt: skip
def test_families_that_cannot_be_fitted_are_told_in_a_line(run, families, arguments, status, words):
    found, out, err = run("fit", families, *arguments)
    assert (found, out, len(err)) == (status, "", 1)
    assert words in err[0]
