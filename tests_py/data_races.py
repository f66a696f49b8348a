"""Read ThreadSanitizer's reports in a folder; fail if one has a frame in the extension's code.

Usage: python data_races.py FOLDER EXTENSION
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPORT = re.compile(r"^WARNING: ThreadSanitizer: (.*?)^={18}$", re.MULTILINE | re.DOTALL)
OWN_FRAME = re.compile(r"^ +#\d+ .*\(_golock\.", re.MULTILINE)


def main(folder: Path, extension: Path) -> int:
    code = extension.read_bytes()
    if b"__tsan_read4" not in code or b"__tsan_atomic32_load" not in code:
        print(f"{extension} is not instrumented for ThreadSanitizer")
        return 1
    files = sorted(folder.iterdir())
    reports = [report for file in files for report in REPORT.findall(file.read_text())]
    own = [report for report in reports if OWN_FRAME.search(report)]
    for report in own:
        print(report)
    others = len(reports) - len(own)
    print(f"data races in the extension: {len(own)}; elsewhere, not suppressed: {others}")
    return 1 if own else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
