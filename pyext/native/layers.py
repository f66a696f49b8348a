"""Which layer of the extension uses which: ``python pyext/native/layers.py`` draws them, top first.

A file includes headers of its own layer and of layers below. Exits with 1 when one points up.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Top first. "" is the module itself.
LAYERS = {
    "": "the module: its functions and types, and what a fork does to each layer",
    "primitives": "the classes",
    "process": "locks and events across processes: pages, slots, sentinels",
    "sharing": "their words handed to code that is not Python",
    "install": "what has become of the interpreter's threading",
    "loops": "what a task awaits, and how its loop is woken",
    "waiting": "acquire, release, notify: parking and waking, spinning",
    "sight": "who waits for what and who holds it, while golock.sight is on",
    "core": "the core's library: found, loaded, called",
    "fastpath": "what never waits, in line",
    "args": "arguments and timeouts",
    "base": "module state, exceptions, clock, futex",
}


def includes(file: Path) -> set[str]:
    """Return the layers of the headers that a file includes; golock*.h are contracts with Go."""
    headers = re.findall(r'^#include "(.+)"$', file.read_text(encoding="utf-8"), re.MULTILINE)
    layers = {str(Path(header).parent) for header in headers if not header.startswith("golock")}
    return layers - {"."}


def main() -> int:
    order = list(LAYERS)
    status = 0
    for place, (layer, what) in enumerate(LAYERS.items()):
        files = sorted((HERE / layer).glob("*.[ch]"))
        used: set[str] = set()
        for file in files:
            for other in includes(file):
                used.add(other)
                if other not in order or order.index(other) < place:
                    print(f"{file.relative_to(HERE)} includes {other}/", file=sys.stderr)
                    status = 1
        below = [other for other in order if other in used and other != layer]
        print(f"    {layer or 'module':12} {what}")
        print(f"    {'':12} uses {', '.join(below) or 'none'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
