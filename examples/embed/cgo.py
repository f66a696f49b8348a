"""Run a command with what cgo needs to embed the interpreter that runs this.

    python cgo.py go build -o program .

Does nothing where that interpreter has no library to link with.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path


def setting(name: str) -> str:
    return sysconfig.get_config_var(name) or ""


def link() -> list[str]:
    """Return the linker's flags, or an empty list if there is no library."""
    library = f"-lpython{setting('LDVERSION')}"
    shared, static = Path(setting("LIBDIR")), Path(setting("LIBPL"))
    if setting("Py_ENABLE_SHARED") and (shared / setting("LDLIBRARY")).exists():
        return [f"-L{shared}", f"-Wl,-rpath,{shared}", library]
    if (static / setting("LIBRARY")).exists():
        # The program exports Python's functions to extension modules.
        needed = f"{setting('LIBS')} {setting('SYSLIBS')} {setting('LINKFORSHARED')}"
        return [f"-L{static}", library, *needed.split()]
    return []


def main(command: list[str]) -> int:
    flags = link()
    if not flags:
        print(f"There is no {setting('LDLIBRARY')} to embed Python with.", file=sys.stderr)
        return 0
    include = shlex.quote(f"-I{sysconfig.get_path('include')}")
    environment = {
        **os.environ,
        "CGO_ENABLED": "1",
        "CGO_CFLAGS": f"{os.environ.get('CGO_CFLAGS', '-O2')} {include}",
        "CGO_LDFLAGS": shlex.join(flags),
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -tags=embed".strip(),
    }
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
