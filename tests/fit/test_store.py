"""Saved fits: what is loaded is what was saved, and a damaged or hostile file is refused with a reason."""

from __future__ import annotations

import io
import json
import os
import random
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import CorruptFileError, FileError, OutputExistsError, OutputPathError, VersionError
from multilevel.fit import container
from multilevel.fit.output import check_output

GOLDEN = Path(__file__).parent / "golden"
FORMULAS = (
    "y ~ x + (x | g)",
    "y ~ poly(x, 2) + (x || g)",
    "y ~ x + (1 | g) + (0 + x | g)",
    "y ~ scale(x) * f + (1 | g/h)",
    "z ~ f + cs(0 + f | g)",
    "log(y + 50) ~ x + offset(w) + (1 | h)",
    "y | weights(n) ~ x + (1 | g)",
    "y | se(w) ~ x + (1 | g)",
    "y ~ x",
)


@pytest.fixture(scope="module")
def table(rows):
    rng = np.random.default_rng(3)
    f = np.array(["a", "b", "ç"])[np.arange(96) % 3]
    z = rng.normal(size=(12, 3))[rows["g"], np.arange(96) % 3] + 0.5 * rng.normal(size=96)
    return {**rows, "f": f, "z": z, "h": np.arange(96) % 7, "w": rng.uniform(0.5, 2.0, 96), "n": np.arange(96) % 3 + 1}


@pytest.fixture(scope="module")
def saved(slopes, tmp_path_factory):
    path = tmp_path_factory.mktemp("fits") / "slopes.fit"
    slopes.save(path)
    return path


def quiet(formula, data, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        return ml.fit(formula, data, **settings)


def close(a, b) -> bool:
    """Equal, numbers to 1e-9 relative to their size."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(close, a, b))
    return a == pytest.approx(b, rel=1e-9, abs=1e-9) if isinstance(a, float) else a == b


@pytest.mark.parametrize("formula", FORMULAS)
def test_what_is_loaded_is_what_was_saved(formula, table, tmp_path):
    fit = quiet(formula, table)
    fit.save(tmp_path / "a.fit")
    loaded = ml.load(tmp_path / "a.fit")
    assert close(loaded.to_dict(), fit.to_dict())
    new = {name: values[::-3] for name, values in table.items()}
    before, after = fit.predict(new), loaded.predict(new)
    assert np.array_equal(before["estimate"], after["estimate"])
    for name in ("std_error", "lower", "upper"):
        assert after[name].to_numpy() == pytest.approx(before[name].to_numpy(), rel=1e-12, abs=1e-12)
    assert str(loaded.summary()) == str(fit.summary())
    assert str(loaded.model) == str(fit.model)
    assert np.array_equal(loaded.fitted_values, fit.fitted_values)


@pytest.mark.parametrize("estimator", ["ml", "reml", "complete", "none", "within"])
def test_every_estimator(estimator, rows, tmp_path):
    fit = quiet("y ~ x + (1 | g)", rows, estimator=estimator)
    fit.save(tmp_path / "a.fit")
    loaded = ml.load(tmp_path / "a.fit")
    assert loaded.estimator == fit.estimator
    assert close(loaded.to_dict(), fit.to_dict())


def test_settings_warnings_and_level_are_kept(flat, tmp_path):
    fit = quiet("y ~ x + x2 + (1 | g)", flat, start=[0.7], maxiter=50)
    fit.save(tmp_path / "a.fit")
    loaded = ml.load(tmp_path / "a.fit")
    assert loaded.estimator.maxiter == 50
    assert list(loaded.estimator.start) == [0.7]
    assert [(type(w), w.code, str(w)) for w in loaded.warnings] == [(type(w), w.code, str(w)) for w in fit.warnings]
    assert loaded.boundary == ["g"]


def test_hostile_names_survive(rows, tmp_path):
    labels = np.array(["../../x", "\x00", "<b>", "a:b", "\ud800", "é"])[np.arange(96) % 6]
    fit = quiet("y ~ x + (1 | `../g`)", {"y": rows["y"], "x": rows["x"], "../g": labels})
    fit.save(tmp_path / "a.fit")
    assert ml.load(tmp_path / "a.fit").model.design.groups[0].levels == fit.model.design.groups[0].levels
    assert os.listdir(tmp_path) == ["a.fit"]


def test_golden_files_of_older_versions_load():
    expected = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
    for name, predictions in expected.items():
        fit = ml.load(GOLDEN / name)
        assert fit.predict()["estimate"].to_numpy() == pytest.approx(predictions["estimate"], rel=1e-12)
        digits = 1e-9 if fit.model.is_linear else 1e-5  # of standard errors that differences find
        assert fit.predict()["std_error"].to_numpy() == pytest.approx(predictions["std_error"], rel=digits)


# --- output paths ------------------------------------------------------------------------------------------------
def test_an_existing_file_is_kept(slopes, saved, tmp_path):
    path = tmp_path / "a.fit"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="--force") as error:
        slopes.save(path)
    assert isinstance(error.value, FileExistsError)
    assert error.value.code == "E_EXISTS"
    assert path.read_text() == "mine"
    slopes.save(path, overwrite=True)
    assert ml.load(path).n_obs == 96


@pytest.mark.parametrize("where", ["", "missing/a.fit", "file/a.fit"])
def test_impossible_output_paths(slopes, tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputPathError, match="path") as error:
        slopes.save(tmp_path / where, overwrite=True)
    assert isinstance(error.value, OSError)
    assert error.value.code == "E_OUTPUT_PATH"
    assert sorted(os.listdir(tmp_path)) == ["file"]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
def test_paths_that_cannot_be_written_are_found_before_the_work():
    for path in ("/proc/x.html", "/dev/null"):
        with pytest.raises(OutputPathError, match="path"):
            check_output(path, overwrite=True)


def test_a_failed_write_leaves_the_old_file(slopes, saved, tmp_path, monkeypatch):
    path = tmp_path / "a.fit"
    path.write_text("old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputPathError, match="No space left"):
        slopes.save(path, overwrite=True)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.fit"]


# --- damage ------------------------------------------------------------------------------------------------------
def refused(path: Path, raw: bytes) -> CorruptFileError:
    path.write_bytes(raw)
    with pytest.raises((CorruptFileError, VersionError)) as error:
        ml.load(path)
    return error.value


def test_missing_files_and_directories(tmp_path):
    for path in (tmp_path / "none.fit", tmp_path):
        with pytest.raises(FileError) as error:
            ml.load(path)
        assert error.value.code == "E_FILE"


def test_other_files_are_not_fits(tmp_path):
    """L01: a pickle is never unpickled."""
    canary = tmp_path / "canary"
    pickled = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    for raw in (pickled, b"\x80\x04\x95" + pickled, b"", b"PK", b"x" * 1000, b"PK\x03\x04" + b"x" * 1000):
        error = refused(tmp_path / "evil.fit", raw)
        assert error.code == "E_FORMAT" or "truncated" in str(error)
        assert "not a multilevel fit file" in str(error) or "truncated" in str(error)
    assert not canary.exists()
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
    assert "not a multilevel fit file" in str(refused(tmp_path / "evil.fit", other.getvalue()))


def test_every_flipped_bit_is_found(saved, tmp_path):
    """L04, at 200 random places and everywhere in the first and last bytes."""
    raw = saved.read_bytes()
    rng = random.Random(4)
    places = [rng.randrange(8 * len(raw)) for _ in range(200)]
    places += [*range(8 * 60), *range(8 * (len(raw) - container.SEAL_SIZE - 30), 8 * len(raw))]
    for place in places:
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        error = refused(tmp_path / "a.fit", bytes(changed))
        assert (error.code, "checksum" in str(error)) == ("E_CORRUPT", True), place


def test_truncated_files_are_told_as_such(saved, tmp_path):
    """L03."""
    raw = saved.read_bytes()
    for size in (10, 50, len(raw) // 2, len(raw) - 100, len(raw) - 70, len(raw) - 1):
        error = refused(tmp_path / "a.fit", raw[:size])
        assert (error.code, "truncated" in str(error)) == ("E_CORRUPT", True), size


# --- hostile content: everything sealed, as an attacker would ----------------------------------------------------
def resealed(saved: Path, change, sealed: bool = True, compress: int = zipfile.ZIP_STORED) -> bytes:
    """The file with its members changed by `change(members)`, checksums and seal made to fit again."""
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop(container.MANIFEST))
    change(members, manifest)
    for name, data in members.items():
        manifest["members"][name] = {"size": len(data), "sha256": container._sha(data)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as archive:
        for name, data in {container.MANIFEST: json.dumps(manifest).encode(), **members}.items():
            archive.writestr(name, data)
        if sealed:
            archive.comment = container.MARKER + b"0" * 64
    raw = buffer.getvalue()
    return raw[:-64] + container._sha(raw[:-64]).encode() if sealed else raw


@pytest.mark.parametrize("sealed", [True, False])
def test_object_arrays_are_refused(saved, tmp_path, sealed):
    """L02."""

    def change(members, manifest):
        buffer = io.BytesIO()
        np.save(buffer, np.array([{}, None], dtype=object), allow_pickle=True)
        members["arrays/0.npy"] = buffer.getvalue()

    error = refused(tmp_path / "a.fit", resealed(saved, change, sealed))
    assert (error.code, "object" in str(error)) == ("E_FORMAT", True)


def test_object_arrays_in_any_archive_are_refused(tmp_path):
    for write in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        write(buffer, a=np.array([{}, None], dtype=object))
        error = refused(tmp_path / "a.fit", buffer.getvalue())
        assert (error.code, "object" in str(error)) == ("E_FORMAT", True)


@pytest.mark.parametrize("sealed", [True, False])
def test_newer_formats_are_refused(saved, tmp_path, sealed):
    """L05."""

    def change(members, manifest):
        manifest["format_version"] += 1

    error = refused(tmp_path / "a.fit", resealed(saved, change, sealed))
    assert isinstance(error, VersionError)
    assert (error.code, f"version {container.VERSION + 1}" in str(error)) == ("E_VERSION", True)


def absurd_header(members, manifest):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header += b" " * (64 - (10 + len(header) + 1) % 64) + b"\n"
    members["arrays/0.npy"] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 80


def bomb(members, manifest):
    members["bomb.json"] = b"0" * 50_000_000


@pytest.mark.parametrize(
    ("change", "compress"), [(absurd_header, zipfile.ZIP_STORED), (bomb, zipfile.ZIP_DEFLATED)], ids=["header", "bomb"]
)
def test_absurd_sizes_are_refused_before_allocation(saved, tmp_path, change, compress):
    """L07."""
    raw = resealed(saved, change, compress=compress)
    clock = time.perf_counter()
    error = refused(tmp_path / "a.fit", raw)
    assert time.perf_counter() - clock < 1.0
    assert (error.code, "size" in str(error)) == ("E_LIMIT", True)


def edited(edit):
    def change(members, manifest):
        record = json.loads(members["fit.json"])
        edit(record)
        members["fit.json"] = json.dumps(record).encode()

    return change


HOSTILE = {
    "no model": lambda r: r.pop("model"),
    "another formula": lambda r: r["model"].update(formula="y ~ x + (x | h)"),
    "no formula": lambda r: r["model"].update(formula="__import__('os')"),
    "path": lambda r: r["model"].update(response="../../etc/passwd"),
    "wrong array": lambda r: r["model"].update(response=r["estimates"]["beta"]),
    "codes that are numbers": lambda r: r["model"]["groups"][0].update(codes=r["model"]["response"]),
    "no such estimator": lambda r: r["estimator"].update(name="base"),
    "dunder estimator": lambda r: r["estimator"].update(name="../os"),
    "no such setting": lambda r: r["estimator"]["settings"].update(shell="rm"),
    "fewer levels than codes": lambda r: r["model"]["memory"]["levels"].update(g=["0"]),
    "levels that are no text": lambda r: r["model"]["memory"]["levels"].update(g=list(range(12))),
    "effects of another size": lambda r: r["estimates"].update(effects=[r["estimates"]["covariances"][0]]),
    "level": lambda r: r.update(level=7),
    "text for a list": lambda r: r.update(model="x"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_inconsistent_content_is_refused(saved, tmp_path, case):
    error = refused(tmp_path / "a.fit", resealed(saved, edited(HOSTILE[case])))
    assert error.code == "E_CORRUPT"


def test_unsealed_and_extended_archives_are_refused(saved, tmp_path):
    def nothing(members, manifest):
        pass

    def more(members, manifest):
        members["../escape.npy"] = members["arrays/0.npy"]

    assert "checksum" in str(refused(tmp_path / "a.fit", resealed(saved, nothing, sealed=False)))
    assert ml.load(_written(tmp_path / "b.fit", resealed(saved, nothing))).n_obs == 96
    assert ml.load(_written(tmp_path / "b.fit", resealed(saved, more))).n_obs == 96  # read by name, written nowhere
    assert sorted(os.listdir(tmp_path)) == ["a.fit", "b.fit"]
    deep = resealed(saved, lambda m, _: m.update({"fit.json": b"[" * 100_000}))
    assert refused(tmp_path / "a.fit", deep).code == "E_CORRUPT"


def _written(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path
