"""A model of the order in which locks are taken: it says which circles must be told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

Lock = tuple[int, int]
"""A number that is not used again, and the place where it was made; 0: unknown."""

Node = tuple[str, int]
Circle = tuple[tuple[Node, Node], ...]


class Model:
    """Says which circles an acquire closes that were not told."""

    def __init__(self) -> None:
        self.gates: dict[tuple[Node, Node], set[int]] = {}
        self.told: set[frozenset[tuple[Node, Node]]] = set()

    @staticmethod
    def nodes(start: Lock, end: Lock) -> tuple[Node, Node]:
        one_by_one = start[1] == end[1] != 0

        def node(lock: Lock) -> Node:
            return ("lock", lock[0]) if one_by_one or lock[1] == 0 else ("place", lock[1])

        return node(start), node(end)

    def _closed_by(self, edge: tuple[Node, Node]) -> Iterator[Circle]:
        following: dict[Node, list[Node]] = defaultdict(list)
        for start, end in self.gates:
            following[start].append(end)

        def walk(path: Circle) -> Iterator[Circle]:
            for end in following[path[-1][1]]:
                step = (path[-1][1], end)
                if any(self.gates[step] & self.gates[other] for other in path):
                    continue
                if end == edge[0]:
                    yield (*path, step)
                elif all(end != other[1] for other in path):
                    yield from walk((*path, step))

        yield from walk((edge,))

    def add(self, held: list[Lock], taken: Lock) -> Iterator[list[Circle]]:
        """Yield, for each of the edges that is new, the circles of which one must be told."""
        for lock in held:
            if lock[0] == taken[0]:
                continue
            edge = self.nodes(lock, taken)
            others = {other[0] for other in held}
            before = self.gates.get(edge)
            self.gates[edge] = others if before is None else before & others
            if before is None or before != self.gates[edge]:
                circles = [c for c in self._closed_by(edge) if frozenset(c) not in self.told]
                shortest = min(map(len, circles), default=0)
                yield [circle for circle in circles if len(circle) == shortest]

    def remove(self, number: int) -> None:
        gone = [edge for edge in self.gates if ("lock", number) in edge]
        for edge in gone:
            del self.gates[edge]
