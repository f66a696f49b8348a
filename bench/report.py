"""Turn results/ into tables and plots: ``python bench/report.py [DIRECTORY]``.

Writes performance.md and performance-*.svg into DIRECTORY, by default results/. If performance.md
exists, only the text between the two marks is replaced, so ``python bench/report.py docs`` updates
the project's page. It includes all versions of Python with results, oldest first.
"""

from __future__ import annotations

import argparse
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import results
from golock.bench import table_rows

BEGIN = "<!-- measured: begin (written by bench/report.py) -->"
END = "<!-- measured: end -->"

WAKE_TARGET_MS = 2
START_TARGETS_MS = {"import": 2, "install": 2, "run": 5}
LOCK_TARGET_BYTES = 64
GOPY_TARGET = 20  # times faster than a lock that gopy binds
SHARE_TARGET = 0.25  # of the time, for either side
HAND_OVER_TARGET = 1.5  # times a hand-over between two Python threads
IDLE_TARGET = 1  # times the interpreter's
MANY_TARGET = 0.8  # of the rate of few threads

STARTS = {
    "import": "`import golock`",
    "install": "`import golock; golock.install()`",
    "run": "`python -m golock run` of an empty program",
}

GOLOCK_COLOUR, INTERPRETER_COLOUR = "#00758d", "#8a8a8a"

Figures = dict[str, Any]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table; the first row is its heading."""
    heading, *body = (" | ".join(row) for row in rows)
    return [f"| {heading} |", "|" + " --- |" * len(rows[0]), *(f"| {row} |" for row in body), ""]


def prose(text: str) -> list[str]:
    """Wrap a paragraph as the rest of the documentation is."""
    return [*textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False), ""]


def verdict(met: bool) -> str:
    return "yes" if met else "no"


def mark_code(name: str) -> str:
    """Mark the code in the name of a timed call, which follows the class."""
    kind, colon, code = name.rpartition(": ")
    return f"{kind}{colon}`{code}`"


def ratios_section(figures: Figures) -> list[str]:
    heading, *rows = table_rows(figures["measures"], targets=True)
    cells = [
        [mark_code(row[0]) if measure["unit"] == "ns" else row[0], *row[1:]]
        for measure, row in zip(figures["measures"], rows, strict=True)
    ]
    return [
        *prose(
            "Measured in one process, by turns: the minimum of the runs for single calls (ns), the "
            "median for several threads. The threads fight for one lock (their number, empty loop "
            "steps with the lock held / without), or wait for each other (µs a round)."
        ),
        *table([heading, *cells]),
        "Compared in the same way with the floor, a C type whose methods do nothing:",
        "",
        *table(
            [
                ["ns", "golock", "floor", "ratio", "target"],
                *(
                    [
                        mark_code(beside["name"]),
                        f"{beside['golock']:.1f}",
                        f"{beside['floor']:.1f}",
                        f"{beside['ratio']:.2f}",
                        f"<= {beside['limit']:g}: {verdict(beside['met'])}",
                    ]
                    for beside in figures["floor"]
                ),
            ]
        ),
    ]


def pyperf_values(file: Path) -> dict[str, dict[str, list[float]]]:
    """Return nanoseconds by operation and lock, from a pyperf file of uncontended.py."""
    import pyperf  # type: ignore[import-untyped]  # noqa: PLC0415

    values: dict[str, dict[str, list[float]]] = {}
    for benchmark in pyperf.BenchmarkSuite.load(str(file)).get_benchmarks():
        operation, _, lock = benchmark.get_name().removesuffix("]").rpartition(" [")
        values.setdefault(operation, {})[lock] = [v * 1e9 for v in benchmark.get_values()]
    return values


def uncontended_section(values: dict[str, dict[str, list[float]]]) -> list[str]:
    rows = [["ns, mean ± deviation", "golock", "interpreter", "floor"]]
    for operation, locks in values.items():
        cells = [
            f"{statistics.mean(locks[lock]):.1f} ± {statistics.stdev(locks[lock]):.1f}"
            if lock in locks
            else ""
            for lock in rows[0][1:]
        ]
        rows.append([f"`{operation}`", *cells])
    return ["Measured by pyperf, in many processes:", "", *table(rows)]


def wake_section(figures: Figures) -> list[str]:
    rows = [["releases", "lock", "median", "99th percentile", "longest", "target"]]
    for releases, locks in figures["releases"].items():
        for lock, times in locks.items():
            met = verdict(times["p99"] <= WAKE_TARGET_MS)
            rows.append(
                [releases, lock]
                + [f"{times[key]:.3f} ms" for key in ("median", "p99", "max")]
                + [f"<= {WAKE_TARGET_MS} ms: {met}" if lock == "golock" else ""]
            )
    return [
        f"{figures['threads']} threads waiting on {figures['threads']} locks, "
        "from a release to its waiter running with the lock:",
        "",
        *table(rows),
    ]


def idle_section(figures: Figures) -> list[str]:
    measures = {"p50": "µs", "p99": "µs", "processor": "µs", "switches": ""}
    rows = [["a thread waits", "measure", "golock", "interpreter", "ratio", "target"]]
    for name, wakes in figures["wakes"].items():
        for measure, unit in measures.items():
            ours, theirs = (wakes[family][measure] for family in ("golock", "interpreter"))
            rows.append(
                [
                    name,
                    f"{measure}, {unit}" if unit else measure,
                    f"{ours:.3g}",
                    f"{theirs:.3g}",
                    f"{ours / theirs:.2f}",
                    f"ratio <= {IDLE_TARGET}: {verdict(ours / theirs <= IDLE_TARGET)}",
                ]
            )
    return [
        *prose(
            "A thread that waits for an item now and then: latency from giving to taking the item, "
            "and processor time and context switches of the process for each item:"
        ),
        *table(rows),
    ]


def many_section(figures: Figures) -> list[str]:
    few, many = figures["threads"]
    rows = [["many threads", "golock", "interpreter", "target"]]
    ours, theirs = figures["one_lock"]["golock"], figures["one_lock"]["interpreter"]
    met = verdict(ours["ratio"] >= MANY_TARGET)
    rows.append(
        [
            f"rate of {many} by that of {few}",
            f"{ours['ratio']:.2f}",
            f"{theirs['ratio']:.2f}",
            f">= {MANY_TARGET}: {met}",
        ]
    )
    for waiters in (1_000, 10_000):
        of = figures[str(waiters)]
        rows.append(
            [
                f"{waiters:,} locks released, each with a waiter: until all run, a waiter",
                *(f"{of[name] / waiters * 1e3:.1f} µs" for name in ("golock", "interpreter")),
                "",
            ]
        )
    return table(rows)


def footprint_section(figures: Figures) -> list[str]:
    start = figures["start_ms"]["the interpreter"]
    rows = [["footprint", "measured", "target"]]
    for name, target in START_TARGETS_MS.items():
        least, median = (figures["start_ms"][name][key] - start[key] for key in ("min", "median"))
        rows.append(
            [
                f"{STARTS[name]} beyond the interpreter's start (minimum; median)",
                f"{least:.1f} ms; {median:.1f} ms",
                f"<= {target} ms: {verdict(least <= target)}",
            ]
        )
    threads = {when: figures[when]["threads"] for when in ("imported", "contended")}
    rss = {when: figures[when]["rss_kB"] for when in ("started", "imported", "contended")}
    size = figures["lock_bytes"]
    return table(
        [
            *rows,
            [
                "threads of the process after the import",
                f"{threads['imported']}",
                f"1: {verdict(threads['imported'] == 1)}",
            ],
            ["threads after the first contended wait", f"{threads['contended']}", ""],
            [
                "a lock object",
                f"{size} bytes",
                f"<= {LOCK_TARGET_BYTES}: {verdict(size <= LOCK_TARGET_BYTES)}",
            ],
            ["memory added by the import", f"{rss['imported'] - rss['started']:,} kB", ""],
            [
                "memory added by the first contended wait",
                f"{rss['contended'] - rss['imported']:,} kB",
                "",
            ],
        ]
    )


def handoff_section(figures: Figures) -> list[str]:
    rows = [["threads, loop steps", "hand-off after", "acquires, k/s", "longest wait", "fairness"]]
    for sweep in figures["sweeps"]:
        for point in [*sweep["golock"], sweep["interpreter"]]:
            after = f"{point['handoff_ms']:g} ms" if "handoff_ms" in point else "interpreter's lock"
            rows.append(
                [
                    sweep["workload"],
                    after,
                    f"{point['rate'] / 1e3:,.0f}",
                    f"{point['longest_wait_ms']:.1f} ms",
                    f"{point['fairness']:.3f}",
                ]
            )
    default = f"{figures['default_ms']:g} ms"
    return [f"The hand-off threshold, {default} unless set:", "", *table(rows)]


def gopy_section(figures: Figures) -> list[str]:
    pair, faster = figures["pair_ns"], figures["times_faster"]
    hand_over, ratio = figures["hand_over_us"], figures["hand_over_ratio"]
    rows = [["beside Go", "measured", "target"]]
    for name, times in faster.items():
        rows.append(
            [
                f"a pair of calls: {name} {pair[name]:.1f} ns, by gopy {pair['gopy']:.0f} ns",
                f"{times:.1f} times faster",
                f">= {GOPY_TARGET}: {verdict(times >= GOPY_TARGET)}",
            ]
        )
    rows.append(
        [
            f"a hand-over and back: goroutine {hand_over['goroutine']:.1f} µs, "
            f"Python thread {hand_over['thread']:.1f} µs",
            f"{ratio:.2f}",
            f"<= {HAND_OVER_TARGET}: {verdict(ratio <= HAND_OVER_TARGET)}",
        ]
    )
    return table(rows)


def sides_section(figures: Figures) -> list[str]:
    rows = [["4 threads and 4 goroutines", "share of the time", "rate, of that alone", "target"]]
    for name, contest in figures["contests"].items():
        share, alone = contest["share"], contest["of_alone"]
        rows.append(
            [
                name,
                f"threads {share['threads']:.2f}, goroutines {share['goroutines']:.2f}",
                f"threads {alone['threads']:.2f}, goroutines {alone['goroutines']:.2f}",
                f">= {SHARE_TARGET}: {verdict(min(share.values()) >= SHARE_TARGET)}",
            ]
        )
    return table(rows)


def loops_section(figures: Figures) -> list[str]:
    rows = [["event loops", "µs", "golock divided by"]]
    for name, measure in figures["measures"].items():
        ratios = ", ".join(
            f"{peer} {ratio:.2f} ({measure['least_ratios'][peer]:.2f})"
            for peer, ratio in measure["ratios"].items()
        )
        rows.append([name, f"{measure['golock_us']:.2f} ({measure['least_us']:.2f})", ratios])
    return [
        *prose(
            f"Event loops, in one process ({figures['date']}): golock's time, and its ratio to "
            f"each peer's in the same turn, medians of {figures['turns']} turns; in brackets the "
            f"least times and their ratio. The load was {figures['machine']['load']:.1f}."
        ),
        *table(rows),
    ]


def process_section(figures: Figures) -> list[str]:
    rows = [["several processes", "pair, ns", "4: k/s", "longest wait", "16: k/s", "longest wait"]]
    for name, fights in figures["fights"].items():
        row = [name, f"{figures['pairs_ns'][name]:,.0f}"]
        for fight in fights.values():
            row += [f"{fight['rate'] / 1e3:,.0f}", f"{fight['longest_wait_ms']:.0f} ms"]
        rows.append(row)
    after = figures["after_a_kill_ms"]
    return [
        *prose(
            f"4 and 16 processes that fight for a lock in empty loops, and an uncontended pair of "
            f"calls ({figures['date']}). From kill -9 of a golock.process.Lock's holder to the "
            f"next owner, {after['times']} times: median {after['median']:.2f} ms, 99 % within "
            f"{after['p99']:.2f} ms, the longest {after['max']:.2f} ms."
        ),
        *table(rows),
    ]


def section(version: str) -> list[str]:
    """Return everything that was measured on one version of Python."""
    lines: list[str] = []
    origin: Figures | None = None
    for benchmark, write in (
        ("ratios", ratios_section),
        ("idle", idle_section),
        ("wake", wake_section),
        ("many", many_section),
        ("footprint", footprint_section),
        ("handoff", handoff_section),
        ("gopy", gopy_section),
        ("sides", sides_section),
        ("loops", loops_section),
        ("process", process_section),
    ):
        figures = results.load(benchmark, version)
        if figures is not None:
            origin = origin or figures
            lines += write(figures)
        if benchmark == "ratios":
            file = results.ROOT / version / "uncontended.json"
            if file.exists():
                lines += uncontended_section(pyperf_values(file))
    if origin is None:
        return []
    machine = origin["machine"]
    heading = [
        f"## {machine['implementation']} {machine['python']}",
        "",
        f"{machine['system']}, {machine['processor']}, {machine['cpus']} CPUs, "
        f"load {machine['load']:.2f}, {machine['compiler']}, {origin['date']}"
        + (" (a fast run: fewer and shorter measurements)" if origin["fast"] else ""),
        "",
    ]
    return heading + lines


def draw_ratios(versions: Iterable[str], target: Path) -> None:
    """Draw bars of golock's ratio to the interpreter, for each call, workload and round."""
    from matplotlib import pyplot  # noqa: PLC0415

    series = {
        version: figures["measures"]
        for version in versions
        if (figures := results.load("ratios", version)) is not None
    }
    thickness = 0.8 / len(series)
    panels = {
        "ns": "time of a call: shorter is better",
        "k/s": "acquires a second: longer is better",
        "µs": "time of a round: shorter is better",
    }
    figure, axes = pyplot.subplot_mosaic(
        [["ns", "k/s"], ["ns", "µs"]], figsize=(13, 3 + 2 * len(series)), layout="constrained"
    )
    for unit, label in panels.items():
        axis = axes[unit]
        for index, (version, measures) in enumerate(series.items()):
            shown = [measure for measure in measures if measure["unit"] == unit]
            bars = axis.barh(
                [place + index * thickness for place in range(len(shown))],
                [measure["ratio"] for measure in shown],
                thickness,
                label=f"Python {version}",
                color=pyplot.get_cmap("viridis")(0.15 + 0.7 * index / len(series)),
            )
            axis.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
            axis.set_yticks(
                [place + (len(series) - 1) * thickness / 2 for place in range(len(shown))],
                [measure["name"].removesuffix(": acquires") for measure in shown],
            )
        axis.axvline(1, color=INTERPRETER_COLOUR, linewidth=1)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set_title(label, fontsize=10)
        axis.set_xlabel("golock / interpreter")
    figure.legend(
        *axes["ns"].get_legend_handles_labels(), loc="outside upper center", ncols=len(series)
    )
    save(figure, target)


def draw_handoff(version: str, figures: Figures, target: Path) -> None:
    """Plot rate and longest wait against the hand-off threshold."""
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    quantities = {
        "rate": (1e-3, "acquires, thousands a second"),
        "longest_wait_ms": (1, "longest wait, ms"),
    }
    for axis, (key, (scale, label)) in zip(axes, quantities.items(), strict=True):
        for sweep, marker in zip(figures["sweeps"], "os", strict=True):
            points = sweep["golock"]
            ticks = range(len(points))
            axis.plot(
                ticks,
                [point[key] * scale for point in points],
                marker=marker,
                color=GOLOCK_COLOUR,
                linestyle="-" if marker == "o" else "--",
                label=f"golock, {sweep['workload']}",
            )
            axis.axhline(
                sweep["interpreter"][key] * scale,
                color=INTERPRETER_COLOUR,
                linestyle="-" if marker == "o" else "--",
                label=f"interpreter, {sweep['workload']}",
            )
        axis.set_xticks(ticks, [f"{point['handoff_ms']:g}" for point in points])
        axis.set_xlabel("hand-off after, ms")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    figure.suptitle(f"Python {version}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    save(figure, target)


def save(figure: Any, target: Path) -> None:
    """Write an SVG that is the same for the same figures."""
    import matplotlib  # noqa: PLC0415

    matplotlib.rcParams["svg.hashsalt"] = target.name
    figure.savefig(target, metadata={"Date": None})
    print(target)


def draw(versions: Sequence[str], directory: Path) -> list[str]:
    """Draw every plot into `directory`; return the Markdown that shows them."""
    try:
        import matplotlib  # noqa: PLC0415
    except ImportError:
        print("no plots: matplotlib is not installed")
        return []
    matplotlib.use("svg")
    lines = []
    if any(results.load("ratios", version) for version in versions):
        draw_ratios(versions, directory / "performance-ratios.svg")
        lines += ["![Each measure, golock to interpreter](performance-ratios.svg)", ""]
    for version in versions:
        figures = results.load("handoff", version)
        if figures is not None:
            name = f"performance-handoff-{version}.svg"
            draw_handoff(version, figures, directory / name)
            lines += [f"![Rate and longest wait by hand-off threshold, {version}]({name})", ""]
    return lines


def publish(measured: str, page: Path) -> None:
    """Put `measured` between the marks of `page`, which is created if it does not exist."""
    text = page.read_text(encoding="utf-8") if page.exists() else f"# Performance\n\n{BEGIN}{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page} has no place for the figures: put {BEGIN} and {END} into it")
    page.write_text(f"{before}{begin}\n\n{measured}\n{end}{after}", encoding="utf-8")
    print(page)


def numbers(version: str) -> list[int]:
    """Split a version, so that 3.9 sorts before 3.10."""
    return [int(part) for part in version.rstrip("t").split(".") if part.isdigit()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", nargs="?", type=Path, default=results.ROOT)
    directory: Path = parser.parse_args().directory
    found = (entry.name for entry in results.ROOT.glob("*") if entry.is_dir())
    versions = sorted(found, key=lambda name: (numbers(name), name))
    if not versions:
        raise SystemExit("no results: run bench/run.py first")
    measured = draw(versions, directory)
    for version in versions:
        measured += section(version)
    text = "\n".join(measured)
    print(text)
    publish(text, directory / "performance.md")


if __name__ == "__main__":
    main()
