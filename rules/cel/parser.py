"""Tokens to a syntax tree, by hand: every fault has its place, and says what would be right.

``parse`` never raises anything but ``CelSyntaxError``. It bounds how deep an expression nests, so that neither it nor
anything that walks the tree afterwards runs out of stack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rules.cel import functions, lexer, macros, nodes, suggestions
from rules.cel.errors import CelError, CelSyntaxError
from rules.cel.lexer import Token
from rules.cel.nodes import Node
from rules.cel.values import TYPES, Duration, Timestamp, UInt

# Brackets within brackets, which the parser follows by recursion; and the tree's height, which also grows along chains
# such as a + b + c. Both far above what people write, and far below Python's recursion limit.
MAX_NESTING: Final = 64
MAX_DEPTH: Final = 150

_LEVELS: Final = dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 1) | {
    "+": 2,
    "-": 2,
    "*": 3,
    "/": 3,
    "%": 3,
}
# Functions that read a small language of their own from their last argument.
_READERS: Final[dict[str, Callable[[str], object]]] = {
    "matches": functions.strings.pattern,
    "timestamp": Timestamp.parse,
    "duration": Duration.parse,
}
_CLOSERS: Final = {"(": ")", "[": "]", "{": "}"}


def parse(text: str, *, check: bool = True) -> Node:
    """The syntax tree of an expression.

    With ``check``, a call of a function that does not exist, or with a wrong number of arguments, is a fault too;
    without, it is an error when it is evaluated.
    """
    try:
        parser = _Parser(text, check=check)
        node = parser.whole()
        _check_depth(text, node)
    except RecursionError as error:
        raise lexer.syntax_error(text, "the expression nests too deeply", 0) from error
    return node


def _check_depth(text: str, node: Node) -> None:
    level: list[Node] = [node]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in nodes.children(parent)]
        if not level:
            return
    raise _too_deep(text, level[0].start)


def _too_deep(text: str, place: int) -> CelSyntaxError:
    message = f"the expression is more than {MAX_DEPTH} operations deep: name parts of it under let"
    return lexer.syntax_error(text, message, place)


class _Parser:
    """One pass over the tokens of a text; a method for each rule of the grammar."""

    def __init__(self, text: str, *, check: bool) -> None:
        self.text = text
        self.check = check
        self._tokens = lexer.tokenize(text)
        self._place = 0
        self._nesting = 0
        # Names that macros around here have bound: they hide namespaces and types of the same name.
        self._bound: list[str] = []

    # Tokens

    @property
    def _token(self) -> Token:
        token = self._tokens[self._place]
        if token.kind == lexer.FAULT and isinstance(token.value, CelSyntaxError):
            raise token.value
        return token

    def _take(self) -> Token:
        token = self._token
        self._place += token.kind != lexer.END
        return token

    def _accept(self, kind: str) -> Token | None:
        return self._take() if self._token.kind == kind else None

    def fault(self, message: str, at: Token | Node) -> CelSyntaxError:
        """The error to raise for a token or a node."""
        return lexer.syntax_error(self.text, message, at.start, at.end)

    def _unexpected(self, wanted: str) -> CelSyntaxError:
        return self.fault(suggestions.unexpected(self.text, self._tokens, self._place, wanted), self._token)

    def _close(self, opening: Token) -> Token:
        closer = _CLOSERS[opening.kind]
        if self._token.kind == lexer.END:
            raise self.fault(f"this {opening.kind} has no {closer}", opening)
        token = self._accept(closer)
        if token is None:
            raise self._unexpected(f"{closer}" if opening.kind == "(" else f", or {closer}")
        return token

    # Expressions, from the loosest binding to the tightest

    def whole(self) -> Node:
        if self._token.kind == lexer.END:
            raise lexer.syntax_error(self.text, "the expression is empty", self._token.start)
        node = self._expression()
        if self._token.kind != lexer.END:
            raise self._unexpected("an operator")
        return node

    def _expression(self) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self.fault(f"more than {MAX_NESTING} brackets within brackets", self._token)
        choices: list[tuple[Node, Node]] = []
        node = self._disjunction()
        while mark := self._accept("?"):
            then = self._disjunction()
            if self._token.kind == "?":
                raise self.fault(
                    "put a conditional inside a conditional in parentheses: a ? (b ? c : d) : e", self._token
                )
            if not self._accept(":"):
                optional = "; a field that may be absent is a.?b" if self.text.startswith("?.", mark.start) else ""
                raise self.fault(f"a conditional has both branches: condition ? this : that{optional}", mark)
            choices.append((node, then))
            node = self._disjunction()
        for condition, then in reversed(choices):
            node = nodes.Conditional(condition, then, node, start=condition.start, end=node.end)
        self._nesting -= 1
        return node

    def _disjunction(self) -> Node:
        terms = [self._conjunction()]
        while self._accept("||"):
            terms.append(self._conjunction())
        return terms[0] if len(terms) == 1 else nodes.Or(tuple(terms), start=terms[0].start, end=terms[-1].end)

    def _conjunction(self) -> Node:
        terms = [self._binary(1)]
        while self._accept("&&"):
            terms.append(self._binary(1))
        return terms[0] if len(terms) == 1 else nodes.And(tuple(terms), start=terms[0].start, end=terms[-1].end)

    def _binary(self, lowest: int) -> Node:
        left = self._unary()
        while (level := _LEVELS.get(self._token.kind, 0)) >= lowest:
            symbol = self._take().kind
            right = self._binary(level + 1)
            left = nodes.Binary(symbol, left, right, start=left.start, end=right.end)
        return left

    def _unary(self) -> Node:
        signs: list[Token] = []
        while self._token.kind in {"!", "-"}:
            if signs and self._token.kind != signs[0].kind:
                raise self.fault(f"put what {signs[0].kind} stands before in parentheses", self._token)
            signs.append(self._take())
        number = self._token
        if signs and signs[0].kind == "-" and number.kind == lexer.NUMBER and not isinstance(number.value, UInt):
            sign = signs.pop()
            node = self._member(self._negative(sign))
        else:
            node = self._member(self._primary())
        for sign in reversed(signs):
            node = nodes.Unary(sign.kind, node, start=sign.start, end=node.end)
        return node

    def _negative(self, sign: Token) -> Node:
        number = self._take()
        assert isinstance(number.value, int | float)  # noqa: S101  # what a number's token holds
        return nodes.Literal(-number.value, start=sign.start, end=number.end)

    def _member(self, node: Node) -> Node:
        for _ in range(MAX_DEPTH + 1):
            if self._accept("."):
                node = self._selection(node)
            elif opening := self._accept("["):
                optional = self._accept("?") is not None
                if self._token.kind == "]":
                    raise self.fault("an index is missing: list[0], map['key']", self._token)
                index = self._expression()
                end = self._close(opening).end
                node = nodes.Index(node, index, optional=optional, start=node.start, end=end)
            else:
                return node
        raise _too_deep(self.text, self._token.start)

    def _selection(self, operand: Node) -> Node:
        optional = self._accept("?") is not None
        token = self._take()
        if token.kind not in {lexer.IDENT, lexer.QUOTED}:
            raise self.fault(suggestions.bad_field(self.text, token), token)
        name = str(token.value)
        if self._token.kind == "(" and token.kind == lexer.IDENT:
            if optional:
                raise self.fault("a method is called with . alone; .? selects a field that may be absent", token)
            return self._call(operand, token)
        node: Node = nodes.Select(operand, name, optional=optional, start=operand.start, end=token.end)
        dotted = None if optional else self._dotted(node)
        if dotted is not None and dotted in TYPES:
            return nodes.Ident(dotted, start=operand.start, end=token.end)
        return node

    def _dotted(self, node: Node) -> str | None:
        """``a.b.c`` as a name, unless ``a`` is a variable of a macro."""
        parts: list[str] = []
        while isinstance(node, nodes.Select) and not node.optional:
            parts.append(node.field)
            node = node.operand
        if not isinstance(node, nodes.Ident) or node.name in self._bound:
            return None
        return ".".join((node.name, *reversed(parts)))

    # Calls

    def _call(self, target: Node | None, token: Token) -> Node:
        name = str(token.value)
        start = token.start if target is None else target.start
        space = None if target is None else self._dotted(target)
        if space is not None and (functions.is_namespace(space) or space in macros.NAMESPACES):
            name, target = f"{space}.{name}", None
        args, end = self._arguments(binds=macros.binds(name, is_method=target is not None))
        macro = macros.expand(self.fault, token, name, target, args, (start, end))
        if macro is not None:
            return macro
        if self.check and functions.find(name, len(args), is_method=target is not None) is None:
            raise self.fault(suggestions.bad_call(name, target, len(args)), token)
        if self.check and name in _READERS and args and isinstance(literal := args[-1], nodes.Literal):
            self._check_literal(_READERS[name], literal)
        return nodes.Call(name, target, args, start=start, end=end)

    def _check_literal(self, read: Callable[[str], object], literal: nodes.Literal) -> None:
        """Refuse now what would fail for every record."""
        try:
            if isinstance(literal.value, str):
                read(literal.value)
        except CelError as error:
            raise self.fault(str(error), literal) from error

    def _arguments(self, *, binds: int) -> tuple[tuple[Node, ...], int]:
        """What stands in a call's parentheses; the first ``binds`` names are bound in what follows them."""
        opening = self._take()
        args: list[Node] = []
        depth = len(self._bound)
        while self._token.kind != ")":
            args.append(self._expression())
            if len(args) <= binds and isinstance(arg := args[-1], nodes.Ident):
                self._bound.append(arg.name)
            if not self._accept(","):
                break
            if self._token.kind == ")":
                raise self.fault("an argument is missing after the comma", self._token)
        del self._bound[depth:]
        return tuple(args), self._close(opening).end

    # Primaries

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == lexer.NUMBER:
            lexer.check_int(self.text, token)
        if token.kind in {lexer.NUMBER, lexer.LITERAL}:
            return nodes.Literal(token.value, start=token.start, end=token.end)
        if token.kind == ".":
            if self._token.kind != lexer.IDENT:
                raise self._unexpected("a name")
            return replace(self._name(self._take()), start=token.start)
        if token.kind == lexer.IDENT:
            return self._name(token)
        if token.kind == "(":
            if self._token.kind == ")":
                raise self.fault("the parentheses are empty", token)
            node = self._expression()
            return replace(node, start=token.start, end=self._close(token).end)
        if token.kind == "[":
            return self._list(token)
        if token.kind == "{":
            return self._map(token)
        self._place -= token.kind != lexer.END
        raise self._unexpected("a value")

    def _name(self, token: Token) -> Node:
        name = str(token.value)
        if name in suggestions.RESERVED:
            raise self.fault(suggestions.reserved(name), token)
        if self._token.kind == "(":
            return self._call(None, token)
        return nodes.Ident(name, start=token.start, end=token.end)

    def _list(self, opening: Token) -> Node:
        elements: list[Node] = []
        optional: list[bool] = []
        while self._token.kind != "]":
            optional.append(self._accept("?") is not None)
            elements.append(self._expression())
            if not self._accept(","):
                break
        end = self._close(opening).end
        return nodes.ListNode(tuple(elements), tuple(optional), start=opening.start, end=end)

    def _map(self, opening: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        optional: list[bool] = []
        while self._token.kind != "}":
            optional.append(self._accept("?") is not None)
            key = self._expression()
            if not self._accept(":"):
                raise self._unexpected(": and a value for this key")
            entries.append((key, self._expression()))
            if not self._accept(","):
                break
        end = self._close(opening).end
        return nodes.MapNode(tuple(entries), tuple(optional), start=opening.start, end=end)
