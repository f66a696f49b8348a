"""Run every benchmark, in order, with the running interpreter, then the report.

Needs golock and requirements.txt installed in the current environment, and a C compiler.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import results

HERE = Path(__file__).resolve().parent


def run(*command: str, cwd: Path = HERE) -> None:
    print("+", *command, flush=True)
    subprocess.run([sys.executable, *command], cwd=cwd, check=True)


def main() -> None:
    fast = ["--fast"] if results.parse_fast(__doc__) else []
    run("setup.py", "-q", "build_ext", "--inplace", cwd=HERE / "floor")
    run("ratios.py", *fast)
    pyperf_output = results.path("uncontended")
    pyperf_output.unlink(missing_ok=True)
    run("uncontended.py", "--quiet", "-o", str(pyperf_output), *fast)
    for benchmark in ("idle", "wake", "many", "footprint", "handoff", "gopy", "sides"):
        run(f"{benchmark}.py", *fast)
    run("report.py")


if __name__ == "__main__":
    main()
