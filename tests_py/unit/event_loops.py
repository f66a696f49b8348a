"""What tests run coroutines on: each event loop that can be had, by its name."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def can_run(name: str) -> bool:
    return name == "asyncio" or importlib.util.find_spec(name) is not None


def run(name: str, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function on a new loop of that name, and return its result."""
    backend, options = BACKENDS[name]
    return anyio.run(main, backend=backend, backend_options=options)


each_loop = pytest.mark.parametrize(
    "loop",
    [
        pytest.param(name, marks=pytest.mark.skipif(not can_run(name), reason=f"no {name}"))
        for name in BACKENDS
    ],
)


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks and threads run until the condition is true."""
    with anyio.fail_after(30):
        while not condition():
            await anyio.sleep(0.001)
