"""Builds the lock core with Go and the extension that loads it with the C compiler.

The metadata is in pyproject.toml.
"""

from __future__ import annotations

import gzip
import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NATIVE = Path("pyext/native")
CONTRACT = Path("golock", "capi", "golock.h")
VENDORED = ROOT / "vendor" / "modules.txt"

sys.path.insert(0, str(ROOT / "pyext" / "backend"))
import go_command  # noqa: E402
import library  # noqa: E402
from toolchain import (  # noqa: E402
    Target,
    Unbuildable,
    headers,
    machine,
    require,
    require_versions,
    search_go,
)

require_versions()

from setuptools import Extension, setup  # noqa: E402
from setuptools.command.bdist_wheel import bdist_wheel  # noqa: E402
from setuptools.command.build_ext import build_ext  # noqa: E402
from setuptools.command.sdist import sdist  # noqa: E402


def headers_for_zig(scratch: Path) -> list[str]:
    """Return the folders in which zig finds Python.h and Debian's pyconfig.h.

    Debian's Python.h includes it relative to /usr/include, where zig must not look: there may be
    another C library's headers there.
    """
    multiarch = f"{machine()}-linux-gnu"
    configured = headers().parent / multiarch / headers().name
    if not configured.is_dir():
        return [str(headers())]
    folder = scratch / "include"
    shutil.copytree(configured, folder / multiarch / headers().name, dirs_exist_ok=True)
    return [str(headers()), str(folder)]


class BuildExtension(build_ext):
    """Builds the core at the same time as the extension, and puts their contract beside them."""

    stand_in: tuple[str, ...] = ()  # zig's command, where no compiler was named and none was found

    @property
    def core(self) -> Path:
        return Path(self.get_ext_fullpath("golock._golock")).parent / "libgolock.so"

    @property
    def header(self) -> Path:
        return self.core.parent / "include" / "golock.h"

    def run(self) -> None:
        tools = require()
        scratch = Path(self.build_temp).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        if tools.is_zig:
            self.stand_in = () if os.environ.get("CC") else tools.compiler
            # distutils takes the commands of the compiler and the linker from the environment.
            os.environ["CC"] = shlex.join(tools.compiler)
            os.environ["LDSHARED"] = f"{os.environ['CC']} -shared {library.ZIG_STRIP}"
            self.include_dirs = [*headers_for_zig(scratch), *self.include_dirs]
            # pyconfig.h repeats what zig's newer headers have defined.
            self.extensions[0].extra_compile_args.append("-Wno-macro-redefined")
        with ThreadPoolExecutor(1) as pool:
            core = pool.submit(library.CORE.build, tools, self.core, scratch)
            try:
                super().run()
            finally:
                core.result()
        self.header.parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / CONTRACT, self.header)

    def build_extensions(self) -> None:
        # LDFLAGS may be meant for programs; with this one no shared library can be linked.
        self.compiler.linker_so = [word for word in self.compiler.linker_so if word != "-static"]
        if self.stand_in:
            # The flags of the interpreter and the environment are for gcc. zig refuses some, such
            # as -flto=auto and -Wp,-D_FORTIFY_SOURCE=3.
            self.compiler.set_executables(
                compiler_so=[*self.stand_in, "-DNDEBUG", "-fPIC", "-fwrapv"],
                linker_so=[*self.stand_in, "-shared", library.ZIG_STRIP],
            )
        super().build_extensions()

    def get_ext_filename(self, fullname: str) -> str:
        target = Target.named()
        if target is None:
            return str(super().get_ext_filename(fullname))
        return fullname.replace(".", os.sep) + target.suffix

    def get_output_mapping(self) -> dict[str, str]:
        """Return, for an editable installation, where in the sources the outputs are."""
        mapping: dict[str, str] = super().get_output_mapping()
        package = Path(self.build_lib, "golock")
        if self.inplace:
            for path in (self.core, self.header):
                mapping[str(package / path.relative_to(self.core.parent))] = str(path)
        return mapping

    def get_outputs(self) -> list[str]:
        outputs: list[str] = super().get_outputs()  # the mapping's, if in place
        return outputs if self.inplace else [*outputs, str(self.core), str(self.header)]


class Wheel(bdist_wheel):
    """Names the interpreter that the wheel is for, which may be another than the running one."""

    def run(self) -> None:
        """Begin without what an older or an interrupted build has left, or it would be packed."""
        shutil.rmtree(self.bdist_dir, ignore_errors=True)
        if not self.skip_build:
            build = self.get_finalized_command("build")
            shutil.rmtree(Path(build.build_lib, "golock"), ignore_errors=True)
        super().run()

    def write_wheelfile(self, wheelfile_base: str, *arguments: str, **named: str) -> None:
        """Write the last file before all are packed, and undo what the umask did to them."""
        super().write_wheelfile(wheelfile_base, *arguments, **named)
        for path in Path(self.bdist_dir).rglob("*"):
            if path.is_file():
                path.chmod(permissions(path.stat().st_mode))

    def get_tag(self) -> tuple[str, str, str]:
        target = Target.named()
        return super().get_tag() if target is None else target.tag


class SourceDistribution(sdist):
    """Adds the modules that Go needs, and packs the same files into the same bytes every time."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        if not VENDORED.exists():  # in a source distribution they are among the files
            found = search_go()
            if found.go is None:
                raise Unbuildable(*(each.sentence for each in found.missing))
            release = Path(base_dir).resolve()
            environment = go_command.module_environment(found.go, release.parent / "build")
            # There, for Go would look at all that lies about in the source tree, such as in build.
            command = [found.go, "mod", "vendor"]
            if subprocess.run(command, cwd=release, env=environment, check=False).returncode != 0:
                raise Unbuildable("go mod vendor failed; its output is above.")

    def make_archive(  # noqa: PLR0917
        self,
        base_name: str,
        format: str,  # noqa: A002
        root_dir: str | None = None,
        base_dir: str | None = None,
        owner: str | None = None,
        group: str | None = None,
    ) -> str:
        if format != "gztar" or base_dir is None:
            return str(super().make_archive(base_name, format, root_dir, base_dir, owner, group))
        packed = Path(f"{base_name}.tar.gz")
        packed.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(Path(base_dir).rglob("*")):
                if path.is_file():
                    archive.add(path, recursive=False, filter=reproducible)
        packed.write_bytes(gzip.compress(content.getvalue(), 9, mtime=0))
        return str(packed)


def reproducible(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Remove who packed a file, and when."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = int(os.environ.get("SOURCE_DATE_EPOCH") or "315532800")
    member.mode = permissions(member.mode)
    return member


def permissions(mode: int) -> int:
    """Return the permissions that a file gets in a distribution."""
    return 0o755 if mode & 0o100 else 0o644


def compile_arguments() -> list[str]:
    arguments = ["-std=c11", "-D_GNU_SOURCE", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra"]
    arguments.append(f"-ffile-prefix-map={ROOT}=.")
    if "-g" not in os.environ.get("CFLAGS", "").split():  # the interpreter's own flags may ask too
        arguments.append("-g0")
    target = Target.named()
    if target is not None and target.abi.endswith("t"):
        arguments.append("-DPy_GIL_DISABLED=1")
    # Whatever CFLAGS say: another compiler may warn of something new.
    arguments.append("-Werror" if os.environ.get("GOLOCK_WERROR") == "1" else "-Wno-error")
    return arguments


setup(
    script_args=["--no-user-cfg", *sys.argv[1:]],
    cmdclass={"bdist_wheel": Wheel, "build_ext": BuildExtension, "sdist": SourceDistribution},
    ext_modules=[
        Extension(
            "golock._golock",
            sources=[str(path) for path in sorted(NATIVE.rglob("*.c"))],
            include_dirs=[str(CONTRACT.parent), str(NATIVE)],
            depends=[str(path) for path in [CONTRACT, *sorted(NATIVE.rglob("*.h"))]],
            extra_compile_args=compile_arguments(),
        )
    ],
)
