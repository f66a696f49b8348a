"""The graph of the order in which locks are taken (sight/graph.c), against a simple model."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from order_model import Model

NATIVE = Path(__file__).resolve().parents[2] / "pyext" / "native"
CC = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]

pytestmark = pytest.mark.skipif(
    shutil.which(CC) is None or not NATIVE.exists(), reason="needs a C compiler and the sources"
)

MOST_ALIKE = 32


class Lock(ctypes.Structure):
    _fields_ = [
        ("address", ctypes.c_void_p),
        ("number", ctypes.c_uint32),
        ("place", ctypes.c_uint32),
        ("stack", ctypes.c_uint32),
        ("name", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
    ]


class Edge(ctypes.Structure):
    _fields_ = [
        ("thread", ctypes.c_uint64),
        ("thread_name", ctypes.c_uint32),
        ("start", Lock),
        ("end", Lock),
    ]


class Circle(ctypes.Structure):
    _fields_ = [("edges", ctypes.POINTER(Edge)), ("length", ctypes.c_uint32)]


class Graph:
    """graph.c; there is one graph in the process."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.golock_graph_add.argtypes = [ctypes.POINTER(Lock), ctypes.c_int, Edge]
        library.golock_graph_has.argtypes = [
            ctypes.POINTER(Lock),
            ctypes.c_int,
            ctypes.POINTER(Lock),
        ]
        library.golock_graph_has.restype = ctypes.c_bool
        library.golock_graph_circle.restype = Circle
        library.golock_graph_dropped.restype = ctypes.c_uint64
        library.golock_graph_reset.restype = ctypes.c_bool

    def reset(self) -> None:
        assert self._library.golock_graph_reset()

    def add(self, held: list[tuple[int, int]], taken: tuple[int, int], thread: int = 1) -> int:
        """Take a lock, a (number, place), while others are held. Return the number of circles."""
        locks = (Lock * len(held))(*[Lock(0, number, place) for number, place in held])
        edge = Edge(thread=thread, end=Lock(0, *taken))
        return int(self._library.golock_graph_add(locks, len(held), edge))

    def has(self, held: list[tuple[int, int]], taken: tuple[int, int]) -> bool:
        """Whether to add this would change nothing."""
        locks = (Lock * len(held))(*[Lock(0, number, place) for number, place in held])
        return bool(self._library.golock_graph_has(locks, len(held), Lock(0, *taken)))

    def remove(self, number: int, place: int, everything: bool = False) -> None:
        self._library.golock_graph_remove(number, place, ctypes.c_bool(everything))

    def circle(self, index: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        found = self._library.golock_graph_circle(index)
        edges = [found.edges[i] for i in range(found.length)]
        return [((e.start.number, e.start.place), (e.end.number, e.end.place)) for e in edges]

    @property
    def dropped(self) -> int:
        return int(self._library.golock_graph_dropped())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    built = tmp_path_factory.mktemp("graph") / "graph.so"
    command = [CC, "-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-shared", "-fPIC", f"-I{NATIVE}"]
    command += [f"-I{sysconfig.get_paths()[name]}" for name in ("include", "platinclude")]
    subprocess.run([*command, "-o", str(built), str(NATIVE / "sight/graph.c")], check=True)
    return ctypes.CDLL(str(built))


@pytest.fixture
def graph(library: ctypes.CDLL) -> Graph:
    graph = Graph(library)
    graph.reset()
    return graph


def check(graph: Graph, events: list[Any], places: list[int]) -> None:
    graph.reset()
    model = Model()
    count = 0
    for event in events:
        if isinstance(event, int):
            graph.remove(event + 1, places[event])
            model.remove(event + 1)
            continue
        *held, taken = [(index + 1, places[index]) for index in event]
        changes = not graph.has(held, taken)
        now = graph.add(held, taken)
        assert graph.has(held, taken)
        changed = False
        for candidates in model.add(held, taken):
            changed = True
            if candidates:
                assert now > count, f"not told of one of {candidates}"
                told = tuple(Model.nodes(*edge) for edge in graph.circle(count))
                assert told in candidates
                model.told.add(frozenset(told))
                count += 1
        assert changes == changed
        assert now == count, f"told of {graph.circle(count)}"
    assert graph.dropped == 0


LOCKS = 6
CHAINS = st.lists(st.integers(0, LOCKS - 1), min_size=2, max_size=4, unique=True)


@example(  # a lock is forgotten, and its circle is closed again
    places=[0] * 6, events=[[0, 1], [1, 0], 0, [1, 0, 2], [0, 1], [1, 0]]
)
@settings(max_examples=400)
@given(
    places=st.lists(st.integers(0, 3), min_size=LOCKS, max_size=LOCKS),
    events=st.lists(CHAINS | st.integers(0, LOCKS - 1), max_size=25),
)
def test_graph_agrees_with_the_model(
    library: ctypes.CDLL, places: list[int], events: list[Any]
) -> None:
    check(Graph(library), events, places)


@settings(max_examples=150)
@given(events=st.lists(CHAINS, max_size=40))
def test_graph_of_single_locks_agrees_with_the_model(
    library: ctypes.CDLL, events: list[Any]
) -> None:
    check(Graph(library), events, [0] * LOCKS)


@pytest.mark.parametrize("length", [2, 3, 10, 64, 1000])
def test_circle_of_any_length(graph: Graph, length: int) -> None:
    for i in range(1, length):
        assert graph.add([(i, i)], (i + 1, i + 1)) == 0
    assert graph.add([(length, length)], (1, 1)) == 1
    assert len(graph.circle(0)) == length


def test_consistent_order_of_many_locks_is_not_told(graph: Graph) -> None:
    """A thousand locks made in one place, always taken by their numbers."""
    for i in range(1, 40_000):
        first, second = sorted((i * 7919 % 1000 + 1, i * 104729 % 997 + 1))
        assert graph.add([(first, 1)], (second, 1)) == 0
    assert graph.dropped == 0


def test_many_locks_of_one_place_at_once(graph: Graph) -> None:
    locks = [(number, 1) for number in range(1, 65)]
    for i in range(1, 64):
        assert graph.add(locks[:i], locks[i]) == 0
        assert graph.has(locks[:i], locks[i])
    assert graph.add([locks[47]], locks[46]) == 1
    assert graph.add([locks[62]], locks[47]) == 2
    assert graph.dropped == 0


def test_circles_among_locks_of_one_place_are_bounded(graph: Graph) -> None:
    for i in range(1, 2000):
        first, second = i * 7919 % 1000 + 1, i * 104729 % 997 + 1
        graph.add([(first, 1)], (second, 1))
    assert graph.add([(1, 2)], (2, 3)) == MOST_ALIKE
    assert graph.dropped > 0
    assert graph.add([(2, 3)], (1, 2)) == MOST_ALIKE + 1


def test_edges_are_bounded(graph: Graph) -> None:
    for i in range(1, 400):
        for j in range(i + 1, 400):
            graph.add([(i, 0)], (j, 0))
    assert graph.dropped > 0
    graph.reset()
    assert graph.dropped == 0
    assert graph.add([(1, 1)], (2, 2)) == 0
    assert graph.add([(2, 2)], (1, 1)) == 1


def test_locks_of_one_place_leave_room_for_others(graph: Graph) -> None:
    for i in range(1, 400):
        for j in range(i + 1, 400):
            graph.add([(i, 1)], (j, 1))
    assert graph.dropped > 0
    graph.add([(1, 1)], (400, 2))
    assert graph.add([(400, 2)], (1, 1)) == 1


def test_locks_that_die_leave_room_for_others(graph: Graph) -> None:
    for i in range(1, 200_000, 2):
        assert graph.add([(i, 1)], (i + 1, 1)) == 0
        graph.remove(i, 1)
        graph.remove(i + 1, 1)
    assert graph.dropped == 0


def test_removal_of_a_lock_that_is_no_mutex(graph: Graph) -> None:
    graph.add([(1, 1)], (2, 2))
    graph.remove(2, 2, everything=True)
    assert graph.add([(2, 2)], (1, 1)) == 0
    assert graph.add([(1, 1)], (3, 2)) == 1


def test_a_longer_circle_through_one_that_was_told(graph: Graph) -> None:
    assert graph.add([(2, 3)], (1, 0)) == 0
    assert graph.add([(1, 0)], (2, 3)) == 1
    assert graph.add([(2, 3)], (3, 1)) == 1
    assert graph.add([(3, 1)], (1, 0)) == 2
    assert len(graph.circle(1)) == 3
