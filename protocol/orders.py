"""Check that the machine code for arm64 keeps the memory orders on which the protocol relies.

Usage: python protocol/orders.py

On x86-64 each load is an acquire and each store a release, so no test there misses one that the
code lacks. On arm64 they are instructions: ldar and ldaxr acquire, stlr and stlxr release, and dmb
is a fence. This looks for them, in the C code as zig compiles it for the wheels and in the core as
Go does, and checks that it would miss them: with the orders of the C code relaxed, nothing of it
may be found.

Needs the package ziglang and a go command. Exits with 1 if an instruction is missing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import arm64

RELAXED = [
    f"-D__ATOMIC_{order}=__ATOMIC_RELAXED" for order in ("ACQUIRE", "RELEASE", "ACQ_REL", "SEQ_CST")
]


@dataclass(frozen=True)
class Rule:
    """The instructions that a function has at least. A changed word takes a load and a store."""

    source: str
    function: str
    instructions: str
    why: str


RULES = [
    Rule("primitives/lock.c", "golock_lock_acquire", "ldaxr", "taking a lock acquires"),
    Rule("primitives/lock.c", "golock_lock_release", "stlxr", "releasing it releases"),
    Rule("primitives/semaphore.c", "semaphore_acquire", "ldaxr", "taking a permit acquires"),
    Rule("primitives/semaphore.c", "semaphore_release", "stlxr", "adding permits releases"),
    Rule("waiting/plain.c", "golock_plain_try_acquire", "ldar*2 ldaxr*2 stlxr*2", "both words"),
    Rule("waiting/plain.c", "golock_plain_next", "ldar*2 ldaxr*2 stlxr*2", "claim, and announce"),
    Rule("waiting/plain.c", "release", "ldar*2 ldaxr*2 stlxr*2", "release, and name a claimant"),
    Rule("waiting/plain.c", "take_back", "ldar*2 ldaxr*2 stlxr*2", "take the name back"),
    Rule("waiting/plain.c", "resign", "ldar*2 ldaxr*2 stlxr*2", "a claimant pays its debt"),
    Rule("waiting/plain.c", "golock_plain_stay", "ldar*2", "whether to sleep again"),
    Rule("waiting/plain.c", "golock_plain_move", "ldar ldaxr*2 stlxr*2", "announce the moved"),
    Rule("waiting/plain.c", "golock_wake_all", "ldaxr stlxr", "the flag is set before the word"),
    Rule("waiting/acquire.c", "golock_wait", "ldar", "the flag is read after the word"),
    Rule("waiting/spin.c", "golock_spin_while", "ldar*3", "the count before the word"),
    Rule("waiting/spin.c", "golock_detach", "stlxr", "the count after the GIL is dropped"),
    Rule("waiting/notify.c", "notify_first", "ldaxr stlxr stlr", "notified, then unlinked"),
    Rule("waiting/notify.c", "golock_withdraw", "ldar*2", "unlinked, then the notification"),
    Rule("waiting/notify.c", "golock_await", "ldar ldaxr*2 stlxr*2", "begin and end to spin"),
    Rule("primitives/event.c", "event_set", "ldaxr*2 stlxr*2", "a set of a set event writes too"),
    Rule("primitives/event.c", "event_clear", "ldaxr stlxr", "a clear sees what came before"),
    Rule("primitives/event.c", "event_is_set", "ldar", "who sees it set sees what came before"),
    Rule("primitives/event.c", "wait_slow", "ldar ldaxr stlxr", "sleepers announce themselves"),
    Rule("sharing/share.c", "golock_share", "stlr", "the header is written, then its magic"),
    Rule("sharing/share.c", "golock_share_at", "ldar", "the magic is read, then the header"),
    Rule("sight/waits.c", "golock_record_wait", "dmb stlr", "odd, the fields, even"),
    Rule("sight/waits.c", "golock_wait_read", "ldar dmb", "the version, the fields, the version"),
    Rule("sight/objects.c", "golock_object_read", "ldar dmb", "the same of an object's record"),
    Rule("core/loader.c", "find", "ldar stlr", "the table is complete, then known"),
    Rule("core/loader.c", "golock_core_loaded", "ldar", "the table is known, then used"),
]

ORDERED_ALONE = ["waiting/plain.c", "primitives/event.c"]
"""The sources without relaxed changes."""

GO_FUNCTIONS = {
    "core.(*Waiter).decide": "ldar ldaxr stlxr lse",
    "core.(*Waiter).resign": "ldar ldaxr stlxr lse",
    "core.Cell.Release": "ldar ldaxr stlxr lse",
    "core.Cell.TryAcquire": "ldar ldaxr stlxr lse",
    "core.(*Event).Set": "ldaxr stlxr lse",
    "core.(*Event).Clear": "ldaxr stlxr lse",
    "core.(*Event).Wait": "ldar ldaxr stlxr lse",
}
"""`lse` is one instruction that loads, changes and stores, on processors that have it."""

ACCESS = re.compile(r"\s+(ldaxr|ldxr|stlxr|stxr|ldar|stlr|dmb)[bh]?\s")
INSTRUCTION = re.compile(r"\s0x[0-9a-f]+\s+([0-9a-f]{8})\s+(\S+)")


def functions(assembly: str) -> dict[str, Counter[str]]:
    """Return how many ordered and exclusive instructions each function has."""
    found: dict[str, Counter[str]] = {}
    name = ""
    for line in assembly.splitlines():
        label = re.match(r"([A-Za-z_]\w*):", line)
        name = label[1] if label else name
        access = ACCESS.match(line)
        found.setdefault(name, Counter()).update(access.groups() if access else [])
    return found


def needed(rule: Rule) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word in rule.instructions.split():
        instruction, _, number = word.partition("*")
        counts[instruction] = int(number or 1)
    return counts


def check_c() -> list[str]:
    """Return what is missing in the C code."""
    sources = sorted({rule.source for rule in RULES})

    def compiled(source: str) -> tuple[dict[str, Counter[str]], ...]:
        path = arm64.NATIVE / source
        return functions(arm64.assembly(path)), functions(arm64.assembly(path, *RELAXED))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        both = dict(zip(sources, pool.map(compiled, sources), strict=True))
    faults = []
    for rule in RULES:
        ordered, relaxed = both[rule.source]
        if rule.function not in ordered:
            faults.append(f"{rule.source}: there is no function {rule.function}")
            continue
        lacks = needed(rule) - ordered[rule.function]
        if lacks:
            faults.append(f"{rule.source}: {rule.function} lacks {dict(lacks)}: {rule.why}")
        idle = [each for each in needed(rule) if relaxed.get(rule.function, Counter())[each]]
        if idle:
            faults.append(f"{rule.source}: {rule.function} has {idle} with relaxed orders too")
        print(f"{rule.function:<26} {rule.instructions:<26} {rule.why}")
    for source in ORDERED_ALONE:
        for name, counts in both[source][0].items():
            if counts["ldxr"] or counts["stxr"]:
                faults.append(f"{source}: {name} has a relaxed change: {dict(counts)}")
    return faults


def kind(code: int, mnemonic: str) -> str:
    """Return the kind of an instruction of Go's, which disassembles none of the LSE ones."""
    if code & 0x3FA07C00 == 0x08A07C00:  # cas
        return "lse" if code >> 22 & 1 and code >> 15 & 1 else "relaxed"
    if code & 0x3F200C00 == 0x38200000:  # ldadd, ldclr, ldset, swp
        return "lse" if code >> 23 & 1 and code >> 22 & 1 else "relaxed"
    found = re.fullmatch(r"(LDAXR|LDXR|STLXR|STXR|LDAR|STLR)[BHW]?", mnemonic)
    return "" if found is None else found[1].lower()


def check_go() -> list[str]:
    """Return what is missing in the core."""
    go = os.environ.get("GO", "go")
    environment = {**os.environ, "GOOS": "linux", "GOARCH": "arm64", "CGO_ENABLED": "0"}
    package = "github.com/golock/golock/internal/"
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "core.test"))
        build = [go, "test", "-c", "-o", program, "./internal/core"]
        subprocess.run(build, cwd=arm64.ROOT, env=environment, check=True)
        listing = subprocess.run(
            [go, "tool", "objdump", "-s", f"^{package}core\\.", program],
            cwd=arm64.ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    found = {
        text.partition("(SB)")[0].removeprefix(package): Counter(
            kind(int(code, 16), mnemonic) for code, mnemonic in INSTRUCTION.findall(text)
        )
        for text in re.split(r"^TEXT ", listing, flags=re.MULTILINE)
    }
    faults = []
    for name, instructions in GO_FUNCTIONS.items():
        lacks = [each for each in instructions.split() if not found.get(name, Counter())[each]]
        if lacks:
            faults.append(f"{name} lacks {lacks}")
        print(f"{name:<26} {instructions}")
    for name, counts in found.items():
        if counts["relaxed"] or counts["ldxr"] or counts["stxr"]:
            faults.append(f"{name} has a relaxed change")
    return faults


def main() -> None:
    faults = check_c() + check_go()
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
