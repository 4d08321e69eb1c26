"""From a text to nodes: every fault of the YAML itself, and the mending of values that YAML broke."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from rules.document.mend import mends
from rules.document.nodes import Document, Node
from rules.document.origin import Mend, Origin
from rules.document.scalars import resolve
from rules.faults import Fault, Place

_DEPTH = 100
_SIZE = 8 << 20
_ALIASED = 100_000
_MENDS = 30

_LINES = 20
_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)+")
_HALF = re.compile("[\ud800-\udfff]")
_CORE = "tag:yaml.org,2002:"
_TYPES = frozenset(_CORE + name for name in ("str", "int", "float", "bool", "null", "binary", "timestamp"))


def load(text: str | bytes, file: str) -> tuple[Document | None, list[Fault]]:
    """Read one YAML text.

    Everything that is wrong with it as YAML comes back as faults; the document is what could be read all the same, so
    that whatever else is wrong can be reported with them: None when that is nothing.
    """
    if isinstance(text, bytes):
        try:
            return load(text.decode(), file)
        except UnicodeDecodeError as error:
            return None, [_not_text(text, error, file)]
    if len(text) > _SIZE:
        return None, [Fault(Place(file), f"holds {len(text):,} characters", f"at most {_SIZE:,} can be read")]
    origin = Origin(file, text)
    faults: list[Fault] = []
    places: set[Place] = set()
    composer = _compose(origin)
    while composer.broken is not None and len(faults) < _MENDS:
        broken = composer.broken
        mended = _mended(composer, broken) if broken.mendable else None
        if mended is not None:
            faults.append(broken.mended_by(mended[0], composer.origin))
            places.add(faults[-1].place)
            composer = mended[1]
            continue
        faults.append(broken.fault(composer.origin))
        if not broken.passable:
            break
        composer = _compose(composer.origin, composer.passed | {composer.origin.place(broken.index)})
    faults += composer.faults
    if composer.root is None and not faults:
        faults.append(Fault(Place(file), "the file is empty"))
    return (None if composer.root is None else Document(composer.root, places)), faults


def _not_text(data: bytes, error: UnicodeDecodeError, file: str) -> Fault:
    before = data[: error.start].decode()
    place = Origin(file, before).place(len(before))
    return Fault(place, f"the byte 0x{data[error.start]:02x} is not UTF-8", "should be saved as UTF-8")


@dataclass(frozen=True, slots=True)
class _Broken:
    """The spot where reading stopped, or where YAML read a value as something that nobody means."""

    index: int
    problem: str
    hint: str = ""
    mendable: bool = True
    passable: bool = False
    """Whether reading can go on all the same."""
    opened: int | None = None
    """Where the ``{...}`` or ``[...]`` began in which it is: what broke it may stand on any line from there on."""

    def fault(self, origin: Origin) -> Fault:
        return Fault(origin.place(self.index), self.problem, self.hint)

    def mended_by(self, mend: Mend, origin: Origin) -> Fault:
        what = f"YAML does not read `{origin.text[mend.start : mend.end]}` as one text"
        return Fault(origin.place(mend.start), what, "should be quoted: " + f"{mend.key} {mend.quoted}".lstrip())


def _mended(composer: _Composer, broken: _Broken) -> tuple[Mend, _Composer] | None:
    """The mend that lets reading get furthest past the spot where it stopped."""
    best: tuple[int, Mend, _Composer] | None = None
    for mend in _candidates(composer, broken):
        attempt = _compose(composer.origin.mended(mend), composer.passed)
        grown = len(attempt.origin.text) - len(composer.origin.text)
        further = max(mend.start + len(mend.quoted), broken.index + grown + 1)
        reached = len(attempt.origin.text) + 1 if attempt.broken is None else attempt.broken.index
        if reached >= further and (best is None or reached > best[0]):
            best = (reached, mend, attempt)
    return None if best is None else best[1:]


def _candidates(composer: _Composer, broken: _Broken) -> Iterator[Mend]:
    """The mends of the line that is broken, and of those before it that ` #` may have cut off."""
    origin = composer.origin
    yield from mends(origin, broken.index, flow=composer.in_flow)
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


def _compose(origin: Origin, passed: frozenset[Place] = frozenset()) -> _Composer:
    composer = _Composer(origin, passed)
    composer.run()
    return composer


@dataclass(slots=True, eq=False)
class _Open:
    """A mapping or list that is being read."""

    node: Node
    anchor: str | None
    key: Node | None = None


@dataclass(slots=True, eq=False)
class _Composer:
    """Builds nodes from the parser's events, without recursion, so that no depth of nesting breaks it."""

    origin: Origin
    passed: frozenset[Place]
    """What was found broken before, and is passed over."""
    faults: list[Fault] = field(default_factory=list)
    root: Node | None = None
    broken: _Broken | None = None
    in_flow: bool = False
    """Whether reading stopped inside ``{...}`` or ``[...]``."""
    _open: list[_Open] = field(default_factory=list)
    _anchors: dict[str, Node] = field(default_factory=dict)
    _aliased: int = 0
    _documents: int = 0
    _recent: list[Node] = field(default_factory=list)
    """The last value that was read to its end, and what ended with it, where that end is nothing but the beginning of
    something else: it may not be where it was meant to be."""
    _flows: int = 0
    """How many ``{...}`` and ``[...]`` are open."""
    _unused: dict[str, int] = field(default_factory=dict)
    """Where the anchors of scalars stand that no alias has named yet."""

    def run(self) -> None:
        try:
            for event in YAML(typ="safe", pure=True).parse(self.origin.text):
                self._take(event)
                if self.broken is not None:
                    break
        except (YAMLError, ValueError, IndexError, AttributeError, TypeError, AssertionError) as error:
            # Beside its own errors, the parser lets some of Python's escape on texts that are far from YAML.
            self.broken = _explain(error, self.origin)
        if self.broken is None:
            self._check_anchors()
        self.in_flow = bool(self._open) and self.origin.text.startswith(("{", "["), self._open[-1].node.start)
        if self.broken is not None:
            for node in (*self._recent, *(opened.node for opened in self._open)):
                node.cut = True
        while self._open:
            self._open[-1].key = None
            self._close(len(self.origin.text))

    def _take(self, event: Event) -> None:
        match event:
            case ScalarEvent():
                self._scalar(event)
            case MappingStartEvent() | SequenceStartEvent():
                self._begin(event)
            case MappingEndEvent() | SequenceEndEvent():
                self._end(event)
            case AliasEvent():
                self._alias(event)
            case DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    at = event.start_mark.index
                    self.broken = _Broken(at, "a second document begins", "a file holds one document", mendable=False)
            case _:
                pass

    def _begin(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        if len(self._open) >= _DEPTH:
            self.broken = _Broken(event.start_mark.index, f"nested deeper than {_DEPTH} levels", mendable=False)
            return
        data: object = {} if isinstance(event, MappingStartEvent) else []
        if tag := _tag(event):
            self._tagged(event, tag)
        node = Node(data, self.origin, event.start_mark.index, event.end_mark.index)
        self._flows += bool(event.flow_style)
        if event.anchor:
            self._anchors.pop(event.anchor, None)
        self._open.append(_Open(node, event.anchor))

    def _end(self, event: MappingEndEvent | SequenceEndEvent) -> None:
        closed, recent = self._open[-1].node, self._recent
        is_flow = event.end_mark.index > event.start_mark.index
        self._flows -= is_flow
        self._close(event.end_mark.index)
        if not self._flows:
            self._recent = [] if is_flow else [*recent, closed]

    def _close(self, end: int) -> None:
        opened = self._open.pop()
        opened.node.end = end
        if opened.key is not None:
            self._put(opened.node, opened.key, Node(None, self.origin, end, end))
        self._place(opened.node, opened.anchor)

    def _scalar(self, event: ScalarEvent) -> None:
        tag = _tag(event)
        style = event.style or ""
        data: object = event.value if style or tag == _CORE + "str" else resolve(event.value)
        if style == '"' and _HALF.search(event.value):
            data = self._paired(event)
        node = Node(data, self.origin, self._start(event, tag), event.end_mark.index, style)
        if tag:
            self._tagged(event, tag)
        if event.anchor:
            self._unused.setdefault(event.anchor, event.start_mark.index)
        self._place(node, event.anchor)

    def _paired(self, event: ScalarEvent) -> str:
        """A text in which escapes of two halves of a character, as JSON writes them, are that character."""
        text: str = event.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if text.count("\ufffd") > event.value.count("\ufffd"):
            hint = "should be both, such as \\ud83d\\ude00"
            place = self.origin.place(event.start_mark.index + 1)
            self.faults.append(Fault(place, "half of a character that takes two escapes", hint))
        return text

    def _start(self, event: ScalarEvent, tag: str) -> int:
        """Where a scalar itself begins, behind its anchor and its tag."""
        start: int = event.start_mark.index
        properties = _PROPERTIES.match(self.origin.text, start, event.end_mark.index) if tag or event.anchor else None
        return properties.end() if properties else start

    def _stop(self, broken: _Broken) -> None:
        """Stop reading, unless this was passed before."""
        if self.origin.place(broken.index) not in self.passed:
            self.broken = broken

    def _tagged(self, event: Event, tag: str) -> None:
        shown = tag.replace(_CORE, "!!")
        start = self.origin.text.find(shown, event.start_mark.index, event.end_mark.index)
        at = start if start >= 0 else event.start_mark.index
        # One that names a type was meant as a tag; any other may be a negation.
        mendable = tag not in _TYPES
        self._stop(_Broken(at, f"`{shown}` is a YAML tag", "tags are not used here", mendable, passable=True))

    def _check_anchors(self) -> None:
        """An anchor that nothing uses was meant as part of the text."""
        for name, index in self._unused.items():
            self._stop(_Broken(index, f"`&{name}` is a YAML anchor that nothing uses", passable=True))
            if self.broken is not None:
                return

    def _alias(self, event: AliasEvent) -> None:
        self._unused.pop(event.anchor, None)
        node = self._anchors.get(event.anchor)
        index = event.start_mark.index
        if node is None:
            inside = any(opened.anchor == event.anchor for opened in self._open)
            if inside:
                self.broken = _Broken(index, f"`*{event.anchor}` stands for something that contains it", mendable=False)
            else:
                what = f"`*{event.anchor}` stands for nothing"
                self.broken = _Broken(index, what, f"no `&{event.anchor}` before it")
            return
        self._aliased += node.size
        if self._aliased > _ALIASED:
            self.broken = _Broken(index, f"aliases stand for more than {_ALIASED:,} values", mendable=False)
        elif len(self._open) + node.height > _DEPTH:
            self.broken = _Broken(index, f"nested deeper than {_DEPTH} levels", mendable=False)
        else:
            self._place(node, None)

    def _place(self, node: Node, anchor: str | None) -> None:
        """Put a finished value where it belongs."""
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node if self.root is None else self.root
            return
        opened = self._open[-1]
        if not self._flows and (isinstance(opened.node.data, list) or opened.key is not None):
            is_sure = node.style in ("'", '"') and "\n" not in node.source
            self._recent = [] if is_sure else [node]
        if isinstance(opened.node.data, list):
            opened.node.items.append(node)
            opened.node.data.append(node.data)
            _grow(opened.node, node)
        elif opened.key is None:
            opened.key = node
        else:
            self._put(opened.node, opened.key, node)
            opened.key = None

    def _put(self, parent: Node, key: Node, value: Node) -> None:
        if not isinstance(key.data, str):
            name = key.source if key.height == 0 and not isinstance(key.data, dict | list) else ""
            hint = f"should be text: {_quoted_key(name)}" if name else "should be text"
            self.faults.append(
                Fault(key.place, f"the key `{name}` is not text" if name else "a key that is not text", hint)
            )
            if not name:
                return
        else:
            name = key.data
        if value.start == value.end and ":" not in self.origin.text[key.end : value.start + 1]:
            self._stop(_Broken(key.start, f"the key `{name}` has no value", "should be `key: value`", passable=True))
        if name in parent.entries:
            first = parent.entries[name][0].place
            self.faults.append(Fault(key.place, f"`{name}` is given twice", f"it stands already in line {first.line}"))
            return
        parent.entries[name] = (key, value)
        cast("dict[str, object]", parent.data)[name] = value.data
        _grow(parent, value)


def _grow(parent: Node, child: Node) -> None:
    parent.size += child.size
    parent.height = max(parent.height, child.height + 1)


def _quoted_key(name: str) -> str:
    return f"'{name}'"


def _tag(event: Event) -> str:
    tag = getattr(event, "tag", None)
    return str(tag) if isinstance(tag, str) else ""


_PROBLEMS = {
    "mapping values are not allowed here": ("`: ` inside a value makes YAML read a mapping", ""),
    "found character '\\t' that cannot start any token": ("a tab", "YAML indents with spaces"),
    "could not find expected ':'": ("a key without `:`", "should be `key: value`"),
    "found unexpected end of stream": ("a quote is opened and never closed", ""),
}


def _explain(error: Exception, origin: Origin) -> _Broken:
    """What a parser's error means, in the words of somebody who writes a configuration."""
    if isinstance(error, ReaderError):
        character = error.character
        shown = f"U+{character if isinstance(character, int) else ord(character):04X}"
        hint = "should be written as an escape in double quotes"
        return _Broken(error.position, f"the character {shown} may not stand in YAML", hint, mendable=False)
    if not isinstance(error, MarkedYAMLError):
        return _Broken(0, "this is not YAML", mendable=False)
    problem = str(error.problem or error.context or "this is not YAML").strip()
    mark = error.problem_mark or error.context_mark
    index = mark.index if mark is not None else 0
    opened = error.context_mark.index if error.context_mark is not None else index
    return _explained(problem, index, opened, origin)


def _explained(problem: str, index: int, opened: int, origin: Origin) -> _Broken:
    if problem in _PROBLEMS:
        what, hint = _PROBLEMS[problem]
        endless = problem == "found unexpected end of stream"
        return _Broken(opened if endless else index, what, hint, mendable=not endless)
    if problem.startswith("expected ',' or"):
        bracket = origin.text[opened : opened + 1]
        line = origin.place(opened).line
        return _Broken(index, f"`,` or the end of the `{bracket}` of line {line} should stand here", opened=opened)
    if problem.startswith("expected a comment or a line break"):
        mark = origin.text[opened : opened + 1]
        hint = f"what `{mark}` begins should stand on the lines below it; without `{mark}`, on this one"
        return _Broken(index, f"text behind a `{mark}`", hint, mendable=False)
    if problem.startswith("expected <block end>"):
        return _Broken(index, "this does not belong to what stands before it", "check quotes and indentation")
    return _Broken(index, f"this is not YAML: {problem}")
