"""Says that golock is not installed.

In a checkout ``python -m golock`` finds this folder, the Go package, when it finds no installed
package; an installed one comes first.
"""

import sys

sys.exit(
    f"golock is not installed for {sys.executable}. In the checkout:\n"
    "  python3 -m venv venv\n"
    "  venv/bin/pip install .\n"
    "  venv/bin/python -m golock --help"
)
