"""From a text to nodes, and to the first spot where it is no YAML."""

from __future__ import annotations

import re
from typing import cast

from msgspec import Struct, field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
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

from rules.document.broken import Broken, explain, unclosed_bracket, unclosed_quote
from rules.document.lines import leaving
from rules.document.nodes import Node
from rules.document.origin import Origin
from rules.document.scalars import resolve
from rules.document.scanner import TabScanner
from rules.faults import Fault, Place

_DEPTH = 100
_ALIASED = 100_000

_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)+")
_HALF = re.compile("[\ud800-\udfff]")
_CORE = "tag:yaml.org,2002:"
_TYPES = frozenset(_CORE + name for name in ("str", "int", "float", "bool", "null", "binary", "timestamp"))


def compose(origin: Origin, passed: frozenset[Place] = frozenset()) -> Composer:
    """Read a text to its end, or to where it is broken."""
    composer = Composer(origin, passed)
    composer.run()
    return composer


class _Open(Struct, eq=False):
    """A mapping or list that is being read."""

    node: Node
    anchor: str | None
    key: Node | None = None


class Composer(Struct, eq=False):
    """Builds nodes from the parser's events, without recursion, so that no depth of nesting breaks it."""

    origin: Origin
    passed: frozenset[Place]
    """What was found broken before, and is passed over."""
    faults: list[Fault] = field(default_factory=list)
    root: Node | None = None
    broken: Broken | None = None
    in_flow: bool = False
    """Whether reading stopped inside ``{...}`` or ``[...]``."""
    flow: int | None = None
    """Where the outermost ``{...}`` or ``[...]`` begins in which it stopped."""
    reached: int = 0
    """How far the text could be read."""
    quote: int | None = None
    """Where the first quote begins that is not closed where its value ends, as indentation goes."""
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
        """Read, once."""
        try:
            yaml = YAML(typ="safe", pure=True)
            yaml.Scanner = TabScanner
            for event in yaml.parse(self.origin.text):
                self._take(event)
                if self.broken is not None:
                    break
        except (YAMLError, ValueError, IndexError, AttributeError, TypeError, AssertionError) as error:
            # Beside its own errors, the parser lets some of Python's escape on texts that are far from YAML.
            self.broken = explain(error, self.origin)
        self.flow = next((opened.node.start for opened in self._open if opened.node.is_flow), None)
        if self.broken is not None:
            self.broken = self._cause(self.broken)
        self.reached = len(self.origin.text) + 1 if self.broken is None else self.broken.index
        if self.broken is None:
            self._check_anchors()
        self.in_flow = bool(self._open) and self._open[-1].node.is_flow
        if self.broken is not None:
            for node in (*self._recent, *(opened.node for opened in self._open)):
                node.cut = True
        while self._open:
            self._open[-1].key = None
            self._close(len(self.origin.text))

    def _cause(self, broken: Broken) -> Broken:
        """The spot that is broken indeed: what is opened and never closed takes in the lines below it, and makes
        trouble on any of them."""
        if not (broken.repairable or broken.passable):
            return broken
        text = self.origin.text
        if self.quote is None and broken.quote is not None:
            until = len(text) if broken.index == broken.quote else broken.index
            self.quote = broken.quote if leaving(text, broken.quote, until) is not None else None
        end = None if self.flow is None else leaving(text, self.flow, broken.index)
        if self.quote is not None and (end is None or self.quote < end):
            return unclosed_quote(self.quote)
        if end is None:
            return broken
        flows = [opened.node.start for opened in self._open if opened.node.is_flow and opened.node.start < end]
        return unclosed_bracket(end, flows[-1], self.origin) if flows else broken

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
                    self.broken = Broken(at, "a second document begins", "a file holds one document", mendable=False)
            case _:
                pass

    def _begin(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        if len(self._open) >= _DEPTH:
            self.broken = Broken(event.start_mark.index, f"nested deeper than {_DEPTH} levels", mendable=False)
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
        if self.quote is None and style in ("'", '"') and leaving(self.origin.text, node.start, node.end) is not None:
            self.quote = node.start
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

    def _stop(self, broken: Broken) -> None:
        """Stop reading, unless this was passed before."""
        if self.origin.place(broken.index) not in self.passed:
            self.broken = broken

    def _tagged(self, event: Event, tag: str) -> None:
        shown = tag.replace(_CORE, "!!")
        start = self.origin.text.find(shown, event.start_mark.index, event.end_mark.index)
        at = start if start >= 0 else event.start_mark.index
        # One that names a type was meant as a tag; any other may be a negation.
        mendable = tag not in _TYPES
        self._stop(Broken(at, f"`{shown}` is a YAML tag", "tags are not used here", mendable, passable=True))

    def _check_anchors(self) -> None:
        """An anchor that nothing uses was meant as part of the text."""
        removed = "".join(gap.removed for gap in self.origin.gaps)
        for name, index in self._unused.items():
            if f"*{name}" in removed:
                continue
            self._stop(Broken(index, f"`&{name}` is a YAML anchor that nothing uses", passable=True))
            if self.broken is not None:
                return

    def _alias(self, event: AliasEvent) -> None:
        self._unused.pop(event.anchor, None)
        node = self._anchors.get(event.anchor)
        index = event.start_mark.index
        if node is None:
            inside = any(opened.anchor == event.anchor for opened in self._open)
            if inside:
                self.broken = Broken(index, f"`*{event.anchor}` stands for something that contains it", mendable=False)
            else:
                self._place(Node(None, self.origin, index, event.end_mark.index, cut=True), None)
                what = f"`*{event.anchor}` stands for nothing"
                if not any(f"&{event.anchor}" in gap.removed for gap in self.origin.gaps):
                    self._stop(Broken(index, what, f"no `&{event.anchor}` before it", passable=True))
            return
        self._aliased += node.size
        if self._aliased > _ALIASED:
            self.broken = Broken(index, f"aliases stand for more than {_ALIASED:,} values", mendable=False)
        elif len(self._open) + node.height > _DEPTH:
            self.broken = Broken(index, f"nested deeper than {_DEPTH} levels", mendable=False)
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
            self._stop(Broken(key.start, f"the key `{name}` has no value", "should be `key: value`", passable=True))
            parent.cut = True
            return
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
