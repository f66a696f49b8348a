"""The JSON documents are those that ``report.schema.json`` describes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from golock.conformance._vectors import FOLDER

jsonschema: Any = pytest.importorskip("jsonschema")

SCHEMA = json.loads((FOLDER / "report.schema.json").read_text(encoding="utf-8"))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("definition", "options"),
    [
        ("comparison", ("--only", "cases", "--kind", "Barrier")),
        ("comparison", ("--only", "lock_tests", "--kind", "Event")),
        (
            "comparison",
            ("--only", "contention", "--lock", "dying_locks:Bare"),
        ),
        ("comparison", ("--only", "cases", "--lock", "dying_locks:Crashes")),
        ("comparison", ("--only", "cases", "--family", "some_kinds")),
        ("standard_library", ("--standard-library", "--module", "test.test_sched")),
        ("standard_library", ("--standard-library", "--module", "no_such_module")),
    ],
)
def test_document_is_valid(definition: str, options: tuple[str, ...], tmp_path: Path) -> None:
    code = "from dying_locks import *\nfrom threading import Event\nLock = object\n"
    (tmp_path / "some_kinds.py").write_text(code, encoding="utf-8")
    source = (Path(__file__).parent / "dying_locks.py").read_text(encoding="utf-8")
    (tmp_path / "dying_locks.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "golock", "conformance", "--json", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    document = json.loads(done.stdout)
    validator = jsonschema.Draft202012Validator
    assert list(validator(SCHEMA).iter_errors(document)) == []
    assert validator({"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]}).is_valid(document)


def test_a_document_of_another_version_is_not_valid() -> None:
    document = {"version": 2, "interpreter": "3.11.7", "modules": [], "differences": 0}
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert not validator.is_valid(document)
    assert validator.is_valid({**document, "version": 1})
