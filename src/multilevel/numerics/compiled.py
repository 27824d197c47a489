"""Numba, loaded only when a kernel is first needed, and its first compilation announced.

Kernels are plain functions decorated with `kernel(signature)`; importing the module that holds them loads
machine code from the cache beside the package (or Numba's per-user cache when that is read-only).
The very first import after an installation compiles for some seconds, and says so once on standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

_announced = False


def _cache_is_cold(function: Callable[..., Any]) -> bool:
    """Whether this kernel's file has no compiled code yet (checked by its index file beside the module)."""
    from numba.core.caching import FunctionCache

    try:
        cache = FunctionCache(function)
        return not os.path.exists(os.path.join(cache._cache_path, cache._cache_file._index_name))
    except Exception:  # a private detail moved: stay silent rather than fail
        return False


def _announce(function: Callable[..., Any]) -> None:
    global _announced
    if _announced or not _cache_is_cold(function):
        return
    _announced = True
    if not os.environ.get("MULTILEVEL_QUIET"):
        print("multilevel: compiling its numerical kernels, once after installation (about 30 s) …", file=sys.stderr)


def kernel(signature: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function of arrays to machine code, cached; division by zero gives inf as in NumPy.

    Parameters
    ----------
    signature : str, optional
        Numba type signature; with it the kernel is compiled when its module is imported and accepts these types only.
    """
    import numba

    def decorate(function: Callable[..., Any]) -> Any:
        if options.get("inline") != "always":  # those are compiled within their callers and never cached themselves
            _announce(function)
        settings = {"cache": True, "error_model": "numpy", "nogil": True, **options}
        return numba.njit(signature, **settings)(function) if signature else numba.njit(**settings)(function)

    return decorate


def bit_casts() -> tuple[Any, Any]:
    """(float64 → its bits as uint64, and back): for kernels that take numbers apart, loops included in vectors."""
    from numba import types
    from numba.extending import intrinsic

    def cast(given: Any, wanted: Any) -> Any:
        def typed(_context: Any, value: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

            return (wanted(given), generate) if value == given else None

        return intrinsic(typed)

    return cast(types.float64, types.uint64), cast(types.uint64, types.float64)
