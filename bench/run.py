"""Run every benchmark, in order, with the running interpreter, then the report.

Needs golock and requirements.txt installed in the current environment, and a C compiler. The locks
of several machines are measured only where the servers are that cluster.py wants.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cluster
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
    benchmarks = ["idle", "wake", "many", "footprint", "handoff", "gopy", "sides", "loops"]
    for benchmark in [*benchmarks, "process"]:
        run(f"{benchmark}.py", *fast)
    if all(server.exists() for server in (cluster.ETCD, cluster.REDIS)):
        run("cluster.py")  # it prints its table
    run("report.py")


if __name__ == "__main__":
    main()
