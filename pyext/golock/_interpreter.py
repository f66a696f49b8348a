"""The running interpreter's own lock types, even while golock is installed.

They come from second instances of ``_thread`` and ``threading``, made here and shared with nobody
whose locks golock could have replaced.
"""

from __future__ import annotations

import builtins
import functools
import importlib.machinery
import importlib.util
import sys
import threading as standard
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any


@functools.cache
def thread() -> ModuleType:
    """Return a second instance of the built-in module ``_thread``."""
    spec = importlib.machinery.BuiltinImporter.find_spec("_thread")
    if spec is None or spec.loader is None:
        raise ImportError("this interpreter has no built-in _thread module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def threading() -> ModuleType:
    """Return a second instance of ``threading``, made from the same code, over `thread`.

    It raises the standard module's ``BrokenBarrierError``. Its threads are no use: it does not know
    those of the standard module.
    """
    module = ModuleType("interpreters_threading", standard.__doc__)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
    exec(_code(), vars(module))
    vars(module)["BrokenBarrierError"] = standard.BrokenBarrierError
    sys.modules[module.__name__] = module  # where pickle looks for its classes
    return module


def _code() -> CodeType:
    spec = standard.__spec__
    loader: Any = spec.loader if spec else None
    code = loader.get_code("threading") if hasattr(loader, "get_code") else None
    if not isinstance(code, CodeType):
        raise ImportError("the code of this interpreter's threading module cannot be found")
    return code


def _import(name: str, *arguments: Any) -> Any:
    """Import for `threading`: what would touch the process or its main thread is left out."""
    if name == "_thread":
        instance = thread()
        return SimpleNamespace(**{**vars(instance), "_set_sentinel": instance.allocate_lock})
    if name == "os":
        return SimpleNamespace()  # no register_at_fork
    return builtins.__import__(name, *arguments)
