"""What ``sluiceway top`` shows of its figures, and what its keys change about that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from router.cli.figures import COLUMNS, KINDS, Row, Value
from router.cli.lines import inert

KEYS = "q quit   ←→ table   s sort   r reverse   f filter   ↑↓ scroll"
_FRAME = 3
"""Lines of a table besides its rows: its borders and its heading."""
_HEADINGS = {
    "records_per_second": "rec/s",
    "bytes_per_second": "B/s",
    "lag_records": "lag",
    "lag_seconds": "lag s",
    "unsettled_records": "unsettled",
    "deliveries_per_second": "routed/s",
    "dropped_per_second": "drop/s",
    "dead_letters_per_second": "dead/s",
    "errors_per_second": "err/s",
    "dead_letters": "letters",
    "write_milliseconds": "write ms",
    "queue_records": "queue",
    "queue_bytes": "queue B",
    "buffer_records": "buffer",
    "retries_per_second": "retry/s",
}
_WIDE = frozenset({"name", "error"})
"""What takes the room that is left."""
_TEXTS = frozenset({"name", "flow", "state", "version", "error"})


class Screen(Struct):
    """What is shown: which table the keys are for, by which figure each is sorted, the filter, and how far the table is
    scrolled. Sorted by a number, the largest comes first; by the name, the first."""

    kind: str = KINDS[0]
    sorts: dict[str, str] = field(default_factory=dict)
    reversed: set[str] = field(default_factory=set)
    filter: str = ""
    is_typing: bool = False
    first: int = 0

    def press(self, key: str) -> bool:
        """What a key does; False when it ends the command."""
        if self.is_typing:
            self._type(key)
            return True
        match key:
            case "q":
                return False
            case "left" | "right":
                self.kind = KINDS[(KINDS.index(self.kind) + (1 if key == "right" else -1)) % len(KINDS)]
                self.first = 0
            case "up" | "down" | "page up" | "page down" | "home":
                step = {"up": -1, "down": 1, "page up": -10, "page down": 10, "home": -self.first}[key]
                self.first = max(0, self.first + step)
            case "s":
                choices = ["name", *COLUMNS[self.kind]]
                self.sorts[self.kind] = choices[(choices.index(self._sort(self.kind)) + 1) % len(choices)]
            case "r":
                self.reversed ^= {self.kind}
            case "f" | "/":
                self.is_typing = True
            case "escape":
                self.filter = ""
        return True

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self.is_typing = False
            self.filter = self.filter if key == "enter" else ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1:
            self.filter += key
        self.first = 0

    def _sort(self, kind: str) -> str:
        return self.sorts.get(kind, "name")

    def chosen(self, kind: str, rows: Sequence[Row]) -> list[Row]:
        """The rows of a kind that the filter leaves, in their order."""
        wanted, by = self.filter.lower(), self._sort(kind)
        left = [row for row in rows if wanted in f"{row.name} {row.figures.get('flow') or ''}".lower()]
        if by == "name":
            return sorted(left, key=lambda row: row.name, reverse=kind in self.reversed)
        if by in _TEXTS:
            return sorted(left, key=lambda row: str(row.figures.get(by) or ""), reverse=kind in self.reversed)
        return sorted(left, key=lambda row: _number(row.figures.get(by)), reverse=kind not in self.reversed)

    def drawn(
        self, title: str, rows: Mapping[str, Sequence[Row]], height: int, note: str = "", *, keys: bool = True
    ) -> RenderableType:
        """All of it, in so many lines; ``note`` is what is wrong with all of it, ``keys`` whether any are heard."""
        chosen = {kind: self.chosen(kind, rows.get(kind, ())) for kind in KINDS}
        sizes = self._sizes({kind: len(found) for kind, found in chosen.items()}, height - 2 - bool(note))
        self.first = min(self.first, max(0, len(chosen[self.kind]) - sizes[self.kind]))
        tables = [self._table(kind, chosen[kind], sizes[kind]) for kind in KINDS if sizes[kind] > 0]
        notes = [Text(inert(note), "bold red", no_wrap=True)] if note else []
        return Group(Text(inert(title), "bold", no_wrap=True), *notes, *tables, *([self._foot()] if keys else []))

    def _sizes(self, rows: Mapping[str, int], height: int) -> dict[str, int]:
        """How many rows each table gets: what it has, as far as there is room; the chosen one first."""
        order = [self.kind, *(kind for kind in KINDS if kind != self.kind)]
        left, sizes = height, dict.fromkeys(KINDS, 0)
        for place, kind in enumerate(order):
            reserved = (_FRAME + 1) * (len(order) - place - 1)
            room = left - _FRAME - (reserved if left - _FRAME - reserved > 0 else 0)
            sizes[kind] = max(0, min(max(rows[kind], 1), room))
            left -= sizes[kind] + _FRAME if sizes[kind] else 0
        return sizes

    def _table(self, kind: str, rows: Sequence[Row], size: int) -> RenderableType:
        is_chosen, sort = kind == self.kind, self._sort(kind)
        first = self.first if is_chosen else 0
        table = Table(box=None, expand=True, header_style="bold", pad_edge=False)
        for name in ("name", *COLUMNS[kind]):
            mark = ("↓" if (name in _TEXTS) == (kind in self.reversed) else "↑") if name == sort else ""
            justify: Literal["left", "right"] = "left" if name in _TEXTS else "right"
            ratio = 1 if name in _WIDE else None
            heading = f"{_HEADINGS.get(name, name)}{mark}"
            table.add_column(heading, justify=justify, no_wrap=True, overflow="ellipsis", ratio=ratio)
        for row in rows[first : first + size]:
            style = "red" if row.trouble else "yellow" if row.figures.get("state") == "paused" else ""
            cells = [shown(name, row.figures.get(name)) for name in COLUMNS[kind]]
            table.add_row(*(Text(inert(cell)) for cell in (row.name, *cells)), style=style)
        hidden = len(rows) - size
        title = f"{kind} {first + 1}-{first + size} of {len(rows)}" if hidden > 0 else f"{kind} {len(rows)}"
        return Panel(
            table, title=title, title_align="left", border_style="cyan" if is_chosen else "dim", padding=(0, 1)
        )

    def _foot(self) -> Text:
        if self.is_typing:
            return Text(f"filter: {self.filter}▏  Enter takes it, Esc shows all", no_wrap=True)
        return Text(KEYS + (f"   filter: {self.filter} (Esc shows all)" if self.filter else ""), "dim", no_wrap=True)


def shown(name: str, value: Value) -> str:
    """A figure as people read it."""
    if value is None or isinstance(value, str):
        return value or ""
    if "bytes" in name:
        return scaled(value, 1024, ("", "Ki", "Mi", "Gi", "Ti"))
    return scaled(value, 1000, ("", "k", "M", "G", "T"))


def scaled(value: float, base: int, units: Sequence[str]) -> str:
    """A number with three digits or so, and a unit for what is left."""
    unit = 0
    while abs(value) >= 10_000 and unit < len(units) - 1:
        value, unit = value / base, unit + 1
    text = f"{value:.1f}" if unit or value < 10 else f"{value:.0f}"
    return f"{text.removesuffix('.0')}{units[unit]}"


def _number(value: Value) -> float:
    return value if isinstance(value, int | float) else -1.0
