"""Makes a release: checks, distributions, checksums, a bill of materials, and a tag.

    python pyext/backend/release.py [--tagged] VERSION

Everything goes to dist/VERSION. Nothing is uploaded: the last lines say what to upload. With
--tagged the tag has been made, as on a forge that builds what was pushed. Needs the packages of
requirements-release.txt, and a go command.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import check_wheels
import etcd
import library
import wheels

ROOT = Path(__file__).resolve().parents[2]
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")


def output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def faults(version: str, *, tagged: bool = False) -> list[str]:
    """Return what stands in the way of a release, a sentence each."""
    found = []
    if not VERSION.fullmatch(version):
        return [f"{version} is not a version, such as 1.2.3 or 1.2.3rc1."]
    if output("git", "status", "--porcelain"):
        found.append("The tree has changes that are not committed.")
    tag = output("git", "for-each-ref", "--format=%(objectname)", f"refs/tags/v{version}")
    if not tagged and tag:
        found.append(f"There is a tag v{version} already.")
    head = output("git", "rev-parse", "HEAD")
    if tagged and (not tag or output("git", "rev-parse", f"{tag}^{{commit}}") != head):
        found.append(f"The tag v{version} does not name this commit.")
    package = (ROOT / "pyext" / "golock" / "__init__.py").read_text(encoding="utf-8")
    stated = re.search(r'^__version__ = "(.*)"', package, re.MULTILINE)
    if stated is None or stated[1] != version:
        found.append(f"pyext/golock/__init__.py does not have version {version}.")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(r"^## (.*)", changes, re.MULTILINE)
    dated = rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)"
    if section is None or not re.fullmatch(dated, section[1]):
        found.append(f'The first section of CHANGELOG.md is not "{version} (YYYY-MM-DD)".')
    return found


def licensed(module: str) -> dict[str, object]:
    """Return the license of Go's own modules; the wheel of golock-etcd contains the others'."""
    if module == "std" or module.startswith("golang.org/x/"):
        return {"licenses": [{"license": {"id": "BSD-3-Clause"}}]}
    return {}


def bill_of_materials(version: str) -> dict[str, object]:
    """Return what the wheels contain of others, as CycloneDX 1.6."""
    components = [("std", output("go", "env", "GOVERSION").removeprefix("go"))]
    modules = set()
    for built in (library.CORE, library.ETCD):
        form = "{{with .Module}}{{.Path}} {{.Version}}{{end}}"
        listed = output(
            "go", "-C", str(built.module), "list", "-deps", "-f", form, f"./{built.command}"
        )
        modules.update(listed.splitlines())
    for line in sorted(modules):
        name, _, number = line.partition(" ")
        if number and not name.startswith("github.com/golock/"):
            components.append((name, number))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "name": "golock",
                "version": version,
                "purl": f"pkg:pypi/golock@{version}",
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": [
            {
                "type": "library",
                "name": name,
                "version": number,
                "purl": f"pkg:golang/{name}@{number}",
                **licensed(name),
            }
            for name, number in components
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a release; upload nothing.")
    parser.add_argument("--tagged", action="store_true", help="the tag has been made")
    parser.add_argument("version")
    arguments = parser.parse_args()
    version: str = arguments.version
    tagged: bool = arguments.tagged
    found = faults(version, tagged=tagged)
    if found:
        raise SystemExit("\n".join(found))
    folder = ROOT / "dist" / version
    shutil.rmtree(folder, ignore_errors=True)
    missing = wheels.build_all(wheels.targets(), folder)
    if missing:
        raise SystemExit(f"There are no headers of Python here for {', '.join(missing)}.")
    for machine in wheels.ARCHITECTURES:
        etcd.build_wheel(folder, machine)
    check_wheels.check(folder)
    bill = folder / f"golock-{version}.cdx.json"
    bill.write_text(json.dumps(bill_of_materials(version), indent=2) + "\n", encoding="utf-8")
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    if tagged:
        return
    subprocess.run(
        ["git", "tag", "--annotate", f"v{version}", "--message", f"golock {version}"],
        cwd=ROOT,
        check=True,
    )
    print(f"\nTagged v{version}. To publish it:")
    print(f"  git push origin v{version}")
    print(f"  twine upload dist/{version}/*.tar.gz dist/{version}/*.whl")
    print(f"and attach dist/{version}/SHA256SUMS and {bill.name} to the release of the tag.")


if __name__ == "__main__":
    main()
