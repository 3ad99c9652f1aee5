"""Figures: what was measured, how often, how far apart; the table and the file that they end in."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.promises import Promise, promise


@dataclass(frozen=True)
class Figure:
    """One figure of several samples."""

    name: str
    unit: str
    samples: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest."""
        return min(self.samples), max(self.samples)

    @property
    def json(self) -> dict[str, object]:
        """As it stands in build/bench.json."""
        return {
            "name": self.name,
            "value": _round(self.value),
            "unit": self.unit,
            "spread": [_round(each) for each in self.spread],
            "n": len(self.samples),
        }


class Book:
    """All samples of a run, in the order in which their figures were first seen."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], list[float]] = {}

    def add(self, name: str, value: float, unit: str) -> None:
        """Note one sample."""
        self._samples.setdefault((name, unit), []).append(value)

    @property
    def figures(self) -> list[Figure]:
        """What there is."""
        return [Figure(name, unit, tuple(values)) for (name, unit), values in self._samples.items()]

    def write(self, path: Path) -> None:
        """Write the figures as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([each.json for each in self.figures], indent=1) + "\n")


def table(figures: Iterable[Figure]) -> str:
    """The figures beside what was promised, and what the Go stack needs for the same work."""
    head = ("figure", "median", "min – max", "n", "unit", "aim", "", "Go stack")
    rows = [head, *(_row(each, promise(each.name)) for each in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(_cell(row[i], widths[i], i) for i in range(len(head))).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(figure: Figure, promised: Promise) -> tuple[str, ...]:
    least, most = figure.spread
    aim, verdict = "", ""
    if promised.aim is not None:
        aim = f"≤ {promised.aim:g}"
        verdict = "ok" if figure.value <= promised.aim else "missed"
    return (
        figure.name,
        _text(figure.value),
        f"{_text(least)} – {_text(most)}" if len(figure.samples) > 1 else "",
        str(len(figure.samples)),
        figure.unit,
        aim,
        verdict,
        promised.go,
    )


def _cell(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column in (1, 2, 3, 5) else text.ljust(width)


def _text(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _round(value: float) -> float:
    return round(value, 4)
