"""For PyInstaller, which asks for this by the entry point: what a frozen program needs of golock."""


def get_hook_dirs() -> list[str]:
    return [__file__.rpartition("/")[0]]
