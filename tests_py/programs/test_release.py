"""What ``make release`` refuses, and what the bill of materials lists."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not (SOURCE / ".git").exists() or shutil.which("git") is None, reason="not in a clone"
    ),
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a clone whose tree is that of the sources, committed."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", SOURCE, folder], check=True)
    shutil.copytree(SOURCE / "pyext" / "backend", folder / "pyext" / "backend", dirs_exist_ok=True)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run(
        ["git", *who, "commit", "--quiet", "--allow-empty", "-m", "state"], cwd=folder, check=True
    )


def faults(folder: Path, version: str, *, tagged: bool = False) -> list[str]:
    """Return the sentences by which the release is refused, before anything is built."""
    code = f"import release, sys\nprint(*release.faults(sys.argv[1], tagged={tagged}), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code, version],
        cwd=folder / "pyext" / "backend",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


def prepare(folder: Path, version: str, heading: str) -> None:
    package = folder / "pyext" / "golock" / "__init__.py"
    lines = package.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = [
        f'__version__ = "{version}"\n' if "__version__ =" in line else line for line in lines
    ]
    package.write_text("".join(changed), encoding="utf-8")
    (folder / "CHANGELOG.md").write_text(f"# Changes\n\n## {heading}\n", encoding="utf-8")
    commit(folder)


def test_a_state_that_can_be_released(clone: Path) -> None:
    prepare(clone, "9.8.7rc1", "9.8.7rc1 (2026-11-30)")
    assert faults(clone, "9.8.7rc1") == []


def test_a_state_that_was_tagged_and_pushed(clone: Path) -> None:
    prepare(clone, "9.8.7", "9.8.7 (2026-11-30)")
    missing = ["The tag v9.8.7 does not name this commit."]
    assert faults(clone, "9.8.7", tagged=True) == missing
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    tag = ["git", *who, "tag", "--annotate", "v9.8.7", "--message", "golock 9.8.7"]
    subprocess.run(tag, cwd=clone, check=True)
    assert faults(clone, "9.8.7", tagged=True) == []
    commit(clone)
    assert faults(clone, "9.8.7", tagged=True) == missing


def test_everything_that_does_not_fit_is_said(clone: Path) -> None:
    prepare(clone, "9.8.6", "9.8.7 (unreleased)")
    subprocess.run(["git", "tag", "v9.8.7"], cwd=clone, check=True)
    (clone / "left over").touch()
    said = faults(clone, "9.8.7")
    wanted = ["not committed", "tag v9.8.7", "__init__.py does not have version 9.8.7", "CHANGELOG"]
    assert len(said) == len(wanted)
    assert all(what in sentence for what, sentence in zip(wanted, said, strict=True)), said


@pytest.mark.parametrize("version", ["1", "v1.2.3", "1.2.3-final", ""])
def test_versions_that_are_none(clone: Path, version: str) -> None:
    (sentence,) = faults(clone, version)
    assert "is not a version" in sentence


def test_the_bill_of_materials(clone: Path) -> None:
    code = "import json, release; print(json.dumps(release.bill_of_materials('1.2.3')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=clone / "pyext" / "backend",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert '"pkg:pypi/golock@1.2.3"' in done.stdout
    assert '"pkg:golang/std@1.' in done.stdout
    assert '"pkg:golang/golang.org/x/sys@v0.' in done.stdout
