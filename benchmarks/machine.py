"""The machine and the software a result belongs to; no host name and no paths."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("numpy", "scipy", "numba", "pandas", "polars", "pyarrow")


def facts() -> dict[str, str]:
    """Processor, cores, memory, Python and the packages below the engines."""
    out = {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy's BLAS": _numpy_blas(),
    }
    out.update({name: found for name in _PACKAGES if (found := _version(name))})
    return out


def load() -> float:
    """Average number of busy processes over the last minute: whether the machine was quiet."""
    return os.getloadavg()[0]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{named.get('model name', '?')} (family {named.get('cpu family', '?')}, model {named.get('model', '?')})"


def _numpy_blas() -> str:
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    return f"{blas['name']} {blas['version']}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
