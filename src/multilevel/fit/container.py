"""The bytes of a saved fit: a zip archive of JSON and arrays, sealed by a checksum over the whole file.

    manifest.json    format, version, and size and SHA-256 of every other member; it stands first
    *.json, *.npy    the members, stored without compression
    zip comment      the seal: a marker and the SHA-256 of everything before it

Files may be hostile. Nothing is unpickled; members are found by exact name and never written to disk; every size that a
file declares is compared with the bytes that are there before anything is allocated. A changed bit anywhere fails the
seal, a lost end is told from a changed bit, and any zip tool can open the archive.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import CorruptFileError, VersionError, printable

FORMAT, VERSION = "multilevel.fit", 2  # 2: responses and linear predictors of generalized models
MANIFEST = "manifest.json"
MARKER = b"multilevel.fit seal sha256="
SEAL_SIZE = len(MARKER) + 64
END = b"PK\x05\x06"  # signature of a zip archive's last record, 22 bytes before the comment
END_SIZE = 22
FIRST_NAME = slice(30, 30 + len(MANIFEST))  # where a zip archive keeps the name of its first member
EPOCH = (1980, 1, 1, 0, 0, 0)
DTYPES = ("<f8", "<i4", "<i8")
UNREADABLE = (zipfile.BadZipFile, struct.error, ValueError, KeyError, TypeError, EOFError, OSError, RuntimeError)


# --- writing -----------------------------------------------------------------------------------------------------
def pack(records: Mapping[str, Any], arrays: Mapping[str, np.ndarray], package_version: str) -> bytes:
    """The file's bytes: `records` become JSON members, `arrays` ``.npy`` members."""
    members = {f"{name}.json": _json(record) for name, record in records.items()}
    members.update({f"{name}.npy": _npy(array) for name, array in arrays.items()})
    manifest = {
        "format": FORMAT,
        "format_version": VERSION,
        "package_version": package_version,
        "members": {name: {"size": len(data), "sha256": _sha(data)} for name, data in members.items()},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {MANIFEST: _json(manifest), **members}.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
        archive.comment = MARKER + b"0" * 64
    body = buffer.getvalue()[:-64]
    return body + _sha(body).encode("ascii")


def _json(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    kind = array.dtype.newbyteorder("<")
    np.lib.format.write_array(buffer, np.ascontiguousarray(array, dtype=kind), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- reading -----------------------------------------------------------------------------------------------------
def unpack(raw: bytes, shown: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Records and arrays of a file; `shown` names it in messages.

    Raises
    ------
    CorruptFileError
        E_FORMAT for another kind of file, E_CORRUPT for a damaged one, E_LIMIT for absurd sizes.
    VersionError
        For a file of a newer format.
    """
    sealed = _check_seal(raw, shown)
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            _check_sizes(archive, len(raw), shown)
            manifest = _manifest(archive, shown)
            _check_headers(archive, shown)
            if manifest is None:
                raise foreign(shown)
            members = _members(archive, manifest, shown)
    except UNREADABLE as error:
        if isinstance(error, (CorruptFileError, VersionError)):
            raise
        raise damaged(shown, f"its archive cannot be read ({type(error).__name__}; checksum not reached)") from error
    if not sealed:
        raise damaged(shown, "the checksum over the whole file is missing")
    records = {n.removesuffix(".json"): _parsed(d, shown) for n, d in members.items() if n.endswith(".json")}
    arrays = {n.removesuffix(".npy"): _array(d, shown) for n, d in members.items() if n.endswith(".npy")}
    return records, arrays


def _check_seal(raw: bytes, shown: str) -> bool:
    """True if the seal holds, False if the file is a whole archive without one; errors otherwise."""
    marked = raw[-SEAL_SIZE:-64] == MARKER
    ended = raw[-SEAL_SIZE - END_SIZE :][: len(END)] == END  # either betrays a seal when a bit of the other changed
    if marked or (ended and raw[FIRST_NAME] == MANIFEST.encode()):
        if _sha(raw[:-64]).encode("ascii") != raw[-64:] or not (marked and ended):
            raise damaged(shown, "its checksum does not match its content")
        return True
    last = raw.rfind(END)
    if last >= 0 and last + END_SIZE + int.from_bytes(raw[last + 20 : last + 22], "little") == len(raw):
        return False
    if raw[FIRST_NAME] == MANIFEST.encode() or (len(raw) < FIRST_NAME.stop and raw.startswith(b"PK\x03\x04")):
        raise damaged(shown, "it is truncated: its end is missing")
    raise foreign(shown)


def foreign(shown: str) -> CorruptFileError:
    return CorruptFileError(
        f'"{shown}" is not a multilevel fit file', code="E_FORMAT", hint="Fits are written by fit.save(path)."
    )


def damaged(shown: str, why: str) -> CorruptFileError:
    return CorruptFileError(f'the fit file "{shown}" is damaged: {why}', hint="Restore a copy, or fit and save again.")


def absurd(shown: str, what: str) -> CorruptFileError:
    return CorruptFileError(f'the fit file "{shown}" is refused: {what}', code="E_LIMIT")


def _check_sizes(archive: zipfile.ZipFile, size: int, shown: str) -> None:
    """Members are stored as they are, so that none can be larger than the file."""
    total = 0
    for info in archive.infolist():
        total += info.file_size
        if info.file_size > size or total > size:
            raise absurd(shown, f"a member declares a size of {info.file_size} bytes in a file of {size}")


def _manifest(archive: zipfile.ZipFile, shown: str) -> dict[str, Any] | None:
    """The manifest of a fit file this version can read, None if there is none."""
    if MANIFEST not in archive.namelist():
        return None
    manifest = _parsed(archive.read(MANIFEST), shown)
    if manifest.get("format") != FORMAT:
        raise foreign(shown)
    version = manifest.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise foreign(shown)
    if version > VERSION:
        raise VersionError(
            f'"{shown}" has format version {version}, and this package reads up to version {VERSION}',
            hint="Upgrade multilevel.",
            version=version,
        )
    return manifest


def _check_headers(archive: zipfile.ZipFile, shown: str) -> None:
    """Every array's header: what it declares must be what is there."""
    for info in archive.infolist():
        if info.filename.endswith(".npy"):
            with archive.open(info) as file:
                _header(io.BytesIO(file.read(16384)), info.file_size, shown)


def _header(file: io.BytesIO, size: int, shown: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an array declares, checked against its size in bytes."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise damaged(shown, "an array has an unknown header")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise CorruptFileError(f'"{shown}" holds an array of Python objects, which is refused', code="E_FORMAT")
    elements = 1
    for extent in shape:
        elements *= int(extent)
    if elements < 0 or elements * dtype.itemsize != size - file.tell():
        raise absurd(shown, f"an array declares a size of {elements} numbers, and its bytes hold another number")
    if fortran or dtype.str not in DTYPES:
        raise CorruptFileError(f'"{shown}" holds an array of type {printable(dtype)}', code="E_FORMAT")
    return shape, dtype


def _members(archive: zipfile.ZipFile, manifest: dict[str, Any], shown: str) -> dict[str, bytes]:
    """The members that the manifest lists, each with the right checksum; and no others."""
    listed = manifest["members"]
    names = archive.namelist()
    if sorted(names) != sorted([MANIFEST, *listed]):
        raise damaged(shown, "its members are not those that its manifest lists (checksum of the list)")
    out = {}
    for name, entry in listed.items():
        data = archive.read(name)
        if _sha(data) != entry["sha256"] or len(data) != entry["size"]:
            raise damaged(shown, f'the checksum of "{printable(name)}" does not match its content')
        out[name] = data
    return out


def _parsed(data: bytes, shown: str) -> dict[str, Any]:
    try:
        record = json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise damaged(shown, f"a record is not JSON ({type(error).__name__}; checksum)") from error
    if not isinstance(record, dict):
        raise damaged(shown, "a record is not an object (checksum)")
    return record


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _array(data: bytes, shown: str) -> np.ndarray:
    file = io.BytesIO(data)
    shape, dtype = _header(file, len(data), shown)
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape).copy()
