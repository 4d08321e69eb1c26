"""Filling ``${env:NAME}``, ``${env:NAME:-default}``, ``${file:PATH}`` and ``${credential:NAME}`` into the daemon's
file, after parsing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from router.config.inputs import Inputs
from router.config.secrets import Secrets
from rules.document import Document, Node
from rules.faults import Fault
from rules.model import Outside
from rules.templates import Verbatim, expression_end

_MARK = re.compile(r"\$\$\{|\$\{(?P<kind>env|file|credential):(?P<rest>[^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST = 1 << 20
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable that names the folder of credentials: systemd.exec(5), LoadCredential=."""
FILLED_IN = "`${env:NAME}`, `${file:PATH}` and `${credential:NAME}`"
"""What is filled in, as messages say it."""


class Piece(Struct, frozen=True):
    """A part of a text: what it says, or a CEL expression that begins at ``start`` of the text as it is written."""

    text: str
    start: int
    is_cel: bool


class Mixed(Struct, frozen=True):
    """The pieces of a text that has ``${CEL}`` in it, and the node that it is written in."""

    written: Node
    pieces: tuple[Piece, ...]


class Filled(Struct):
    """The document with everything filled in.

    ``cel`` holds the pieces of texts that have ``${CEL}`` in them; ``hidden`` are values of which something came from
    outside, and must not be shown; ``failed`` are those of which something could not be had.
    """

    document: Document
    cel: Mapping[Node, Mixed]
    hidden: frozenset[Node]
    failed: frozenset[Node]
    secrets: Secrets
    faults: tuple[Fault, ...]

    def masked(self, fault: Fault) -> Fault:
        """The fault with nothing in it that came from outside."""
        every = any(node.place == fault.place for node in self.hidden)
        what, hint = (self.secrets.mask(text, every=every) for text in (fault.what, fault.hint))
        return Fault(fault.place, what, hint)

    def stray(self, node: Node, taking: Collection[str] = ()) -> list[Fault]:
        """A fault for each text at or below a node that has ``${CEL}`` in it, where none belongs. ``taking`` are
        settings beside it that may have it."""
        return [_not_filled(self.cel[text], taking) for text in node.texts() if text in self.cel]


def _joined(pieces: list[Piece]) -> list[Piece]:
    """The same pieces, with neighbours that are no expressions made one."""
    found: list[Piece] = []
    for piece in pieces:
        if piece.is_cel or not found or found[-1].is_cel:
            found.append(piece)
        else:
            found[-1] = replace(found[-1], text=found[-1].text + piece.text)
    return [piece for piece in found if piece.text or piece.is_cel]


def _not_filled(mixed: Mixed, taking: Collection[str]) -> Fault:
    start = next(piece.start for piece in mixed.pieces if piece.is_cel)
    hint = f"only {FILLED_IN} are; a plain `${{` is written `$${{`"
    if taking:
        hint = f"only some settings take CEL: {', '.join(sorted(taking))}; a plain `${{` is written `$${{`"
    place = mixed.written.origin.place(mixed.written.text_index(start - 2))
    return Fault(place, "`${...}` is not filled in here", hint)


def fill(document: Document, environment: Mapping[str, str], folder: Path, inputs: Inputs) -> Filled:
    """Fill in a whole document. Relative files are relative to ``folder``; ``inputs`` are told of them."""
    filler = _Filler(environment, folder, inputs)
    root = filler.node(document.root)
    return Filled(
        Document(root),
        filler.cel,
        frozenset(filler.hidden),
        frozenset(filler.failed),
        Secrets(filler.texts),
        tuple(filler.faults),
    )


class _Filler(Struct):
    environment: Mapping[str, str]
    folder: Path
    inputs: Inputs
    cel: dict[Node, Mixed] = field(default_factory=dict)
    hidden: set[Node] = field(default_factory=set)
    failed: set[Node] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    _done: dict[Node, Node] = field(default_factory=dict)

    def node(self, node: Node) -> Node:
        """The node with everything below it filled in; one that several aliases stand for, once."""
        if node not in self._done:
            self._done[node] = self._made(node)
        return self._done[node]

    def _made(self, node: Node) -> Node:
        if isinstance(node.data, str):
            return self._text(node) if "${" in node.data else node
        if isinstance(node.data, list):
            items = [self.node(item) for item in node.items]
            return node.holding([item.data for item in items], items=items)
        if isinstance(node.data, dict):
            entries = {name: (key, self.node(value)) for name, (key, value) in node.entries.items()}
            return node.holding({name: value.data for name, (_, value) in entries.items()}, entries=entries)
        return node

    def _text(self, node: Node) -> Node:
        pieces, from_outside, failed = self._pieces(node)
        has_cel = any(piece.is_cel for piece in pieces)
        if has_cel:
            shown = (f"${{{p.text}}}" if p.is_cel else p.text.replace("${", "$${") for p in pieces)
        else:
            shown = (p.text for p in pieces)
        text = "".join(shown)
        made = node.holding(text if has_cel else Verbatim(text) if "${" in text else Outside(text))
        if has_cel:
            self.cel[made] = Mixed(node, tuple(pieces))
        if from_outside:
            self.hidden.add(made)
        if failed:
            self.failed.add(made)
        return made

    def _pieces(self, node: Node) -> tuple[list[Piece], bool, bool]:
        """The pieces of a text, whether some came from outside, and whether some could not be had."""
        text = str(node.data)
        pieces: list[Piece] = []
        from_outside = failed = False
        at = 0
        while found := _MARK.search(text, at):
            pieces.append(Piece(text[at : found.start()], at, is_cel=False))
            at = found.end()
            if found["kind"]:
                got, is_default = self._got(node, found)
                from_outside, failed = from_outside or not is_default, failed or got is None
                pieces.append(Piece(got or "", found.start(), is_cel=False))
            elif found[0] == "$${":
                pieces.append(Piece("${", found.start(), is_cel=False))
            else:
                end = expression_end(text, at)
                if end is None:
                    self._fault(
                        node, found.start(), "this `${` is never closed", "should end with `}`; `$${` is a plain `${`"
                    )
                    return pieces, from_outside, True
                pieces.append(Piece(text[at:end], at, is_cel=True))
                at = end + 1
        pieces.append(Piece(text[at:], at, is_cel=False))
        return _joined(pieces), from_outside, failed

    def _fault(self, node: Node, offset: int, what: str, hint: str) -> None:
        self.faults.append(Fault(node.origin.place(node.text_index(offset)), what, hint))

    def _got(self, node: Node, found: re.Match[str]) -> tuple[str | None, bool]:
        """What is filled in, None where it cannot be had, and whether that is a default, which the file shows."""
        if found["kind"] == "file":
            return self._file(node, found, self.folder / found["rest"]), False
        if found["kind"] == "credential":
            return self._credential(node, found), False
        name, has_default, default = found["rest"].partition(":-")
        if not _NAME.fullmatch(name):
            self._fault(
                node, found.start(), f"`{name}` is no name of a variable", "should be like `${env:NAME:-default}`"
            )
            return None, False
        value = self.environment.get(name)
        if value or (value is not None and not has_default):
            self.texts.add(value)
            return value, False
        if has_default:
            return default, True
        hint = f"should be set, or have a default: `${{env:{name}:-default}}`"
        self._fault(node, found.start(), f"the environment has no `{name}`", hint)
        return None, False

    def _credential(self, node: Node, found: re.Match[str]) -> str | None:
        name, folder = found["rest"], self.environment.get(_CREDENTIALS)
        if not name or "/" in name or name in {".", ".."}:
            self._fault(
                node, found.start(), f"`{name}` is no name of a credential", "should be like `${credential:NAME}`"
            )
            return None
        if not folder:
            hint = "should be the folder with the credentials, as systemd sets it for `LoadCredential=`"
            self._fault(node, found.start(), f"the environment has no `{_CREDENTIALS}`", hint)
            return None
        return self._file(node, found, self.folder / folder / name)

    def _file(self, node: Node, found: re.Match[str], path: Path) -> str | None:
        self.inputs.note(path)
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST + 1)
            if len(data) > _LARGEST:
                raise ValueError(f"it is larger than {_LARGEST:,} bytes")
            text = data.decode()
        except (OSError, ValueError) as error:
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            reason = error.strerror if isinstance(error, OSError) and error.strerror else reason
            hint = "should be a file that holds the value"
            self._fault(node, found.start(), f"`{found['rest']}` cannot be read: {reason}", hint)
            return None
        text = text.removesuffix("\n").removesuffix("\r")
        self.texts.add(text)
        return text
