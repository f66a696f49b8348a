"""What a frozen program needs of golock, for PyInstaller, which finds this by the entry point."""


def get_hook_dirs() -> list[str]:
    return [__file__.rpartition("/")[0]]
