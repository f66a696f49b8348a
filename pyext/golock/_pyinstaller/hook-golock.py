"""The lock core is opened by its path, and golock.h by compilers: no import leads there.

The extension imports _loops when a task first waits.
"""

from PyInstaller.utils.hooks import (  # type: ignore[import-untyped, unused-ignore]
    collect_data_files,
    collect_dynamic_libs,
)

binaries = collect_dynamic_libs("golock")
datas = collect_data_files("golock", includes=["include/*.h"])
hiddenimports = ["golock._loops"]
