"""A YAML text as a document, with every fault of the YAML itself: what YAML broke is mended where it can be, and read
past where it cannot."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from rules.document.broken import Broken
from rules.document.compose import Composer, compose
from rules.document.gaps import mark_gaps
from rules.document.lines import Lines, closers, opens
from rules.document.mend import mends
from rules.document.nodes import Document
from rules.document.origin import Mend, Origin
from rules.document.repair import Repair, repairs
from rules.faults import Fault, Place

_SIZE = 8 << 20
_MENDS = 30
_LINES = 20
_BEYOND = 3
"""Other mistakes that are read past to see how far a repair gets, at most."""
_TRIED = 500_000
"""Characters that repairs may be tried on, at most."""


def load(text: str | bytes, file: str, keys: Collection[str] = ()) -> tuple[Document | None, list[Fault]]:
    """Read one YAML text.

    Everything that is wrong with it as YAML comes back as faults; the document is what could be read all the same, so
    that whatever else is wrong can be reported with them: None when that is nothing. ``keys`` are those that may stand
    at the outermost level, where that is known: by them a line is told that is indented by mistake.
    """
    if isinstance(text, bytes):
        try:
            return load(text.decode(), file, keys)
        except UnicodeDecodeError as error:
            return None, [_not_text(text, error, file)]
    if len(text) > _SIZE:
        return None, [Fault(Place(file), f"holds {len(text):,} characters", f"at most {_SIZE:,} can be read")]
    loading = _Loading(compose(Origin(file, text)), keys)
    loading.run()
    composer, faults = loading.composer, loading.faults
    if composer.root is None:
        return None, faults or [Fault(Place(file), "the file is empty")]
    mark_gaps(composer.root, composer.origin)
    cut = [node for node in composer.root.collections() if node.cut and node.is_flow] if faults else []
    places = {fault.place for fault in faults}
    others = [fault for fault in composer.faults if fault.place not in places]
    faults += [fault for fault in others if not any(node.holds(fault.place) for node in cut)]
    for node in composer.root.texts() if loading.mended else ():
        node.mended = node.place in loading.mended
    return Document(composer.root), faults


def _not_text(data: bytes, error: UnicodeDecodeError, file: str) -> Fault:
    before = data[: error.start].decode()
    place = Origin(file, before).place(len(before))
    return Fault(place, f"the byte 0x{data[error.start]:02x} is not UTF-8", "should be saved as UTF-8")


class _Loading(Struct):
    """Reads on from spot to spot where a text is broken."""

    composer: Composer
    keys: Collection[str]
    faults: list[Fault] = field(default_factory=list)
    mended: set[Place] = field(default_factory=set)
    _lines: dict[int, bool] = field(default_factory=dict)
    """The lines of faults, and whether they are mended."""
    _tried: int = 0
    _steps: int = 0

    def run(self) -> None:
        """Read to the end, or as far as that goes."""
        while (broken := self.composer.broken) is not None and self._steps < _MENDS:
            composer = self.composer
            self._steps += 1
            mended = _mended(composer, broken) if broken.mendable else None
            fault = None if mended is None else broken.mended_by(mended[0], composer.origin)
            if mended is not None and fault is not None and fault.place not in self.mended:  # what is mended stays so
                self.mended.add(fault.place)
                self._report(fault, also=True)
                self.composer = mended[1]
            elif broken.passable:
                self._report(broken.fault(composer.origin), also=not broken.mendable)
                self.composer = compose(composer.origin, composer.passed | {composer.origin.place(broken.index)})
            else:
                repaired = self._repaired(broken) if broken.repairable else None
                if not self._follows(broken, composer.origin):
                    better = None if repaired is None else repaired[0].fault
                    self._report(better or broken.fault(composer.origin))
                if repaired is None:
                    return
                self.composer = repaired[1]
                if broken.is_tab:
                    self._report_tabs(broken)

    def _report(self, fault: Fault, *, also: bool = False) -> None:
        """Report a fault, unless it may follow from another of its line. A line may have several mends."""
        line = fault.place.line
        if line not in self._lines or (also and self._lines[line]):
            self._lines[line] = also
            self.faults.append(fault)

    def _report_tabs(self, broken: Broken) -> None:
        """Report the tabs that indent other lines of what was left out because of one."""
        origin = self.composer.origin
        gap = origin.gaps[-1]
        depth = 0
        for line in Lines(gap.removed):
            tab = line.text[: line.indent].find("\t")
            if line.start and tab >= 0 and line.is_content and not line.is_text and not depth:
                self._report(Fault(origin.file_place(gap.index + line.start + tab), broken.problem, broken.hint))
            depth = max(0, depth + opens(line.plain))

    def _follows(self, broken: Broken, origin: Origin) -> bool:
        """Whether a spot may be broken because a line is that is reported already: the one that opened what is to end
        there, or the one that it continues."""
        opened = broken.index if broken.opened is None else broken.opened
        lines = origin.place(opened).line, _continued(origin, origin.place(broken.index).line)
        return not self._lines.keys().isdisjoint(lines)

    def _repaired(self, broken: Broken) -> tuple[Repair, Composer] | None:
        """The repair by which reading gets far enough for so little lost, or else the one by which it gets furthest."""
        best: tuple[tuple[int, int], Repair, Composer] | None = None
        for tier in repairs(self.composer, broken, self.keys):
            for repair in tier:
                attempt = compose(repair.origin, self.composer.passed)
                self._tried += attempt.reached
                reached = attempt.reached - repair.grown
                if broken.index < reached < repair.believed:
                    reached = self._beyond(attempt, repair)
                rank = reached, -len(attempt.faults)
                if reached > broken.index and (best is None or rank > best[0]):
                    best = (rank, repair, attempt)
            if best is not None and (best[0][0] >= best[1].believed or self._tried > _TRIED):
                break
        if best is None:
            return None
        _, repair, attempt = best
        if repair.fault is not None and any(fault.place == repair.fault.place for fault in attempt.faults):
            repair = replace(repair, fault=None)  # as what it would be makes another mistake, it was not meant
        return repair, attempt

    def _beyond(self, attempt: Composer, repair: Repair) -> int:
        """How far a repair lets reading get, past what is a mistake for itself whatever the repair is."""
        reached = attempt.reached - repair.grown
        for _ in range(_BEYOND):
            broken = attempt.broken
            if broken is None or reached >= repair.believed or self._tried > _TRIED:
                break
            following = _past(attempt, broken)
            if following is None:
                break
            attempt = following
            self._tried += attempt.reached
            reached = attempt.reached - (len(attempt.origin.text) - len(self.composer.origin.text))
        return reached


def _past(composer: Composer, broken: Broken) -> Composer | None:
    """Reading on past a spot of which it is known what is wrong."""
    if broken.mendable and (mended := _mended(composer, broken)) is not None:
        return mended[1]
    if not broken.is_sure:
        return None
    closed = next(iter(next(iter(repairs(composer, broken, ())))))
    return compose(closed.origin, composer.passed)


def _continued(origin: Origin, number: int) -> int | None:
    """The line, by number from 1, whose value a line seems to continue, as it is indented deeper than its key."""
    lines = Lines(origin.text)
    above = next(lines.before(number - 1), None)
    if above is None or lines[above].is_parent or lines[number - 1].indent <= lines[above].columns[-1]:
        return None
    return above + 1


def _mended(composer: Composer, broken: Broken, *, further_on: bool = True) -> tuple[Mend, Composer] | None:
    """The mend that lets reading get furthest past the spot where it stopped. ``further_on``: or the one of a path
    behind which another lets reading get on."""
    best: tuple[int, Mend, Composer] | None = None
    path: tuple[Mend, Composer] | None = None
    for mend in _candidates(composer, broken):
        attempt = compose(composer.origin.edited(mend), composer.passed)
        grown = len(attempt.origin.text) - len(composer.origin.text)
        further = max(mend.start + len(mend.text), broken.index + grown + 1)
        if attempt.reached >= further and (best is None or attempt.reached > best[0]):
            best = (attempt.reached, mend, attempt)
        if not mend.key:
            path = (mend, attempt)
    if best is not None:
        return best[1:]
    # The value of a path may be broken as well as the path.
    if not further_on or path is None or path[1].broken is None:
        return None
    return path if _mended(path[1], path[1].broken, further_on=False) is not None else None


def _candidates(composer: Composer, broken: Broken) -> Iterator[Mend]:
    """The mends of the line that is broken, and of those before it that ` #` may have cut off."""
    origin = composer.origin
    before = origin.text[origin.line_bounds(broken.index)[0] : broken.index]
    # The parser looks ahead as far as a line goes: it may not have told of the brackets yet that are open there.
    for flow in sorted({composer.in_flow, composer.in_flow or bool(closers(before))}, reverse=True):
        yield from mends(origin, broken.index, flow=flow)
    if broken.opened is None:
        return
    end = origin.line_bounds(broken.index)[0] - 1
    for _ in range(_LINES):
        if end < broken.opened:
            return
        start = origin.line_bounds(end)[0]
        if " #" in origin.text[start:end]:
            yield from mends(origin, end, flow=True)
        end = start - 1
