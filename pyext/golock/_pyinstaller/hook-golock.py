"""The lock core is opened by its path, and golock.h by compilers: no import leads there."""

from PyInstaller.utils.hooks import (  # type: ignore[import-untyped, unused-ignore]
    collect_data_files,
    collect_dynamic_libs,
)

binaries = collect_dynamic_libs("golock")
datas = collect_data_files("golock", includes=["include/*.h"])
