"""A place in the tokens of a text: what stands there, what was wrong before it, and where to read on after a fault.

A fault is reported only if it does not just follow from another one. So reading goes on at the next operator that joins
two expressions, or behind the bracket, and not at all where brackets or quotes are in doubt.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rules.cel import lexer, suggestions
from rules.cel.errors import CelSyntaxError
from rules.cel.lexer import Token
from rules.cel.nodes import Ident, Node
from rules.cel.values import TYPES

MAX_FAULTS: Final = 100

CLOSERS: Final = {"(": ")", "[": "]", "{": "}"}
_SEPARATORS: Final = frozenset("?:,")
_OPERATORS: Final = frozenset({"&&", "||"})


class Where(NamedTuple):
    """What an expression is a part of: the tokens that may follow it, those at which a faulty one ends, and what should
    stand where neither does."""

    ends: frozenset[str]
    stops: frozenset[str]
    wanted: str


class _Noted(NamedTuple):
    fault: CelSyntaxError
    counts: bool


class Cursor:
    """The tokens of a text, read from the left, and the faults that are found."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[Ident] = []
        """Where a variable is meant, as far as the text could be read."""
        self.place: int
        """How many tokens were taken."""
        self.token: Token
        """What stands here."""
        self._tokens = lexer.tokenize(text)
        self._noted: dict[int, _Noted] = {}
        self._is_cut = any(token.kind == lexer.CUT for token in self._tokens[-2:])
        self._is_over = False
        self._is_broken = False
        self._broken_at = 0
        self._move(0)

    def _move(self, place: int) -> None:
        self.place = place
        self.token = self._tokens[place]

    def take(self) -> Token:
        """The token here; the next one stands here now. The end of the text stays where it is."""
        token = self.token
        if token.kind != lexer.END:
            self.place += 1
            self.token = self._tokens[self.place]
        return token

    def accept(self, kind: str) -> Token | None:
        """The token here, taken, if it is of that kind."""
        return self.take() if self.token.kind == kind else None

    # Faults

    def fault(self, message: str, at: Token | Node) -> CelSyntaxError:
        """The error of a token or a node."""
        return lexer.syntax_error(self.text, message, at.start, at.end)

    def unexpected(self, wanted: str) -> CelSyntaxError:
        """The error of a token that cannot stand here."""
        if self.token.flaws:
            return lexer.syntax_error(self.text, *self.token.flaws[0])
        return self.fault(suggestions.unexpected(self.text, self._tokens, self.place, wanted), self.token)

    def note(self, fault: CelSyntaxError, *, counts: bool = False) -> None:
        """Remember a fault; of several in one place the first. With ``counts``, it is one only if every bracket stands
        where it should.
        """
        if self._is_over:
            return
        before = self._noted.get(fault.offset)
        if before is None or (before.counts and not counts):
            self._noted[fault.offset] = _Noted(fault, counts)
        if len(self._noted) == MAX_FAULTS:
            self.give_up()

    def note_instead(self, fault: CelSyntaxError) -> None:
        """Note a fault because of which everything behind it is meant otherwise, in the stead of all found there."""
        if self._is_over:
            return
        self._noted = {offset: noted for offset, noted in self._noted.items() if offset < fault.offset}
        self.names = [name for name in self.names if name.start < fault.offset]
        self.note(fault)

    def give_up(self) -> None:
        """Read no further: the end of the text stands here, and nothing more is noted."""
        self._is_over = True
        self._move(len(self._tokens) - 1)

    def unclosed(self, opening: Token) -> None:
        """Give up at the end of the text, where a bracket that was opened is not closed."""
        fault = self.fault(f"this {opening.kind} has no {CLOSERS[opening.kind]}", opening)
        self._uncount(opening.start)
        if not self._is_broken:
            self.note(fault)
        self.give_up()

    def _uncount(self, start: int = 0) -> None:
        """Take back what is wrong from here on only if every bracket stands where it should."""
        self._noted = {offset: noted for offset, noted in self._noted.items() if offset < start or not noted.counts}

    def check(self) -> None:
        """Raise the first fault, if there are any."""
        if not self._noted:
            return
        first, *others = (noted.fault for _, noted in sorted(self._noted.items()))
        first.others = tuple(others)
        first.uses = tuple((name.name, name.start) for name in self.names if name.name not in TYPES)
        raise first

    # Reading on

    def recover(self, fault: CelSyntaxError, where: Where, begun: int | None = None) -> bool:
        """Note what is wrong, unless it may just follow from what was wrong before, and go to where an expression
        begins again. False if the faulty one ends before. ``begun`` is where it began again the last time.
        """
        if fault.offset != self.token.start or not self._may_follow(begun):
            self.note(fault)
            self._forget_word()
            if self._is_cut or self._are_quotes_in_doubt():
                self.give_up()
            self._is_broken = True
            self._broken_at = self.place
        return self._skip(where.stops)

    def _may_follow(self, begun: int | None) -> bool:
        if self.place and self._tokens[self.place - 1].kind == lexer.BROKEN:
            return True
        if not self._is_broken:
            return False
        if begun is not None and (self.place == begun or self.token.kind in _SEPARATORS):
            return True
        return self.place == self._broken_at + 1 or self.token.kind in CLOSERS.values()

    def _are_quotes_in_doubt(self) -> bool:
        """Whether a string ends or begins in the middle of what is no string, as in ``'it's'``."""
        before, here = self._tokens[max(self.place - 1, 0)], self.token
        if before.end != here.start or here.kind not in lexer.VALUES:
            return False
        return lexer.is_string(self.text, before) or lexer.is_string(self.text, here)

    def _forget_word(self) -> None:
        """The word before one that follows without an operator may be none, but a word of another language."""
        if not self.names or self.token.kind not in lexer.VALUES:
            return
        word = self.text[self.token.start : self.token.end]
        if self.names[-1].end == self._tokens[self.place - 1].end and not suggestions.is_operator(word):
            self.names.pop()

    def _skip(self, stops: frozenset[str]) -> bool:
        """Go behind the next joint of two expressions, and say True; or to what ends this one, and say False."""
        inside: list[str] = []
        while (kind := self.token.kind) != lexer.END:
            if kind in CLOSERS:
                inside.append(CLOSERS[kind])
            elif kind in CLOSERS.values() and (inside or kind not in stops):
                if not inside or inside.pop() != kind:
                    self._uncount()
                    break
            elif not inside and kind in stops:
                return False
            elif not inside and self._is_joint():
                if self.take().value == "is" and self.token.value == "not":
                    self.take()
                return True
            self.take()
        self.give_up()
        return False

    def _is_joint(self) -> bool:
        token = self.token
        if token.kind == lexer.IDENT:
            return suggestions.is_operator(str(token.value))
        if token.kind in _OPERATORS:
            return True
        around = self.text[max(token.start - 1, 0) : token.start] + self.text[token.end : token.end + 1]
        is_apart = around.strip() != around or len(around) < 2  # else it may stand in the middle of a word
        return is_apart and (token.kind in _SEPARATORS or lexer.is_operator(self.text, token))
