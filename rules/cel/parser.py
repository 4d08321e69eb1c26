"""Tokens to a syntax tree, by hand: every fault has its place, and says what would be right.

``parse`` never raises anything but ``CelSyntaxError``. It bounds how deep an expression nests, so that neither it nor
anything that walks the tree afterwards runs out of stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from rules.cel import functions, lexer, macros, nodes, suggestions
from rules.cel.cursor import CLOSERS, MAX_FAULTS, Cursor, Where
from rules.cel.errors import CelError, CelSyntaxError
from rules.cel.lexer import Token
from rules.cel.nodes import Node
from rules.cel.substitution import substitute
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
_Reader = tuple[int, Callable[[str], object]]
# Functions that read a small language of their own from an argument, and which that is.
_READERS: Final[dict[str, tuple[_Reader, ...]]] = {
    "matches": ((-1, functions.strings.pattern),),
    "timestamp": ((-1, Timestamp.parse),),
    "duration": ((-1, Duration.parse),),
    "hash.hmac": ((0, functions.hashing.known_algorithm),),
    "uuid.v5": ((0, functions.identifiers.space_of),),
    "time.format": ((1, functions.time.known_layout), (2, functions.time.zone_of)),
    "time.parse": ((2, functions.time.zone_of),),
    **dict.fromkeys(functions.time.FIELDS, ((0, functions.time.zone_of),)),
}


def _where(stops: str, wanted: str) -> Where:
    return Where(frozenset((*stops, lexer.END)), frozenset(stops), wanted)


# What an expression may stand in.
_WHOLE: Final = _where("", "an operator")
_PARENTHESES: Final = _where(")", ")")
_ARGUMENT: Final = _where(",)", ")")
_INDEX: Final = _where("]", ", or ]")
_ELEMENT: Final = _where(",]", ", or ]")
_KEY: Final = Where(frozenset(":"), frozenset(",}"), ": and a value for this key")
_VALUE: Final = _where(",}", ", or }")
_ENDS: Final = frozenset((*",)]}", lexer.END))
_LITERALS: Final = frozenset({lexer.LITERAL, lexer.NUMBER, lexer.BROKEN})


def parse(text: str, *, check: bool = True) -> Node:
    """The syntax tree of an expression.

    With ``check``, a call of a function that does not exist, or with a wrong number of arguments, is a fault too;
    without, it is an error when it is evaluated.
    """
    parser = _Parser(text, check=check)
    try:
        node = parser.whole()
    except RecursionError as error:
        raise lexer.syntax_error(text, "the expression nests too deeply", 0) from error
    parser.check_depth(node)
    parser.check()
    return substitute(node, parser.roots)


def _has_gap(args: tuple[Node, ...]) -> bool:
    return any(isinstance(arg, nodes.Gap) for arg in args)


class _Parser(Cursor):
    """One pass over the tokens of a text; a method for each rule of the grammar.

    What is wrong and yet leaves no doubt where the expression goes on is noted. All else is raised, and caught by the
    expression in the same brackets, which is a gap then.
    """

    def __init__(self, text: str, *, check: bool) -> None:
        super().__init__(text)
        self._checks = check
        self._nesting = 0
        # Names that macros around here have bound: they hide namespaces and types of the same name.
        self._bound: list[str] = []
        # What `.name` means where a macro has bound the name, by a name that nobody can write.
        self.roots: dict[str, Node] = {}

    def check_depth(self, node: Node) -> None:
        """Note that a tree is too tall."""
        level: list[Node] = [node]
        for _ in range(MAX_DEPTH):
            level = [child for parent in level for child in nodes.children(parent)]
            if not level:
                return
        self.note(self._too_deep(level[0]))

    def _too_deep(self, at: Token | Node) -> CelSyntaxError:
        message = f"the expression is more than {MAX_DEPTH} operations deep: name parts of it under let"
        return lexer.syntax_error(self.text, message, at.start)

    # Expressions, from the loosest binding to the tightest

    def whole(self) -> Node:
        """The expression that the text is."""
        if self.token.kind == lexer.END:
            self.note(lexer.syntax_error(self.text, "the expression is empty", self.token.start))
            return nodes.Gap()
        return self._expression(_WHOLE)

    def _expression(self, where: Where) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self.note(self.fault(f"more than {MAX_NESTING} brackets within brackets", self.token))
            self.give_up()
        try:
            node = self._conditional()
            if self.token.kind not in where.ends:
                raise self.unexpected(where.wanted)
        except CelSyntaxError as fault:
            node = self._rest(fault, where)
        self._nesting -= 1
        return node

    def _rest(self, fault: CelSyntaxError, where: Where) -> Node:
        """A gap for an expression in which something is wrong, once all that is wrong with it has been noted."""
        start, begun = self.token.start, None
        while self.recover(fault, where, begun):
            begun = self.place
            try:
                self._conditional()
                if self.token.kind in where.stops or self.token.kind == lexer.END:
                    break
                fault = self.unexpected(where.wanted)
            except CelSyntaxError as further:
                fault = further
        return nodes.Gap(start=start, end=self.token.start)

    def _conditional(self) -> Node:
        choices: list[tuple[Node, Node]] = []
        node = self._disjunction()
        while mark := self.accept("?"):
            then = self._disjunction()
            if not self.accept(":"):
                raise self._no_branch(mark)
            choices.append((node, then))
            node = self._disjunction()
        for condition, then in reversed(choices):
            node = nodes.Conditional(condition, then, node, start=condition.start, end=node.end)
        return node

    def _no_branch(self, mark: Token) -> CelSyntaxError:
        if self.token.kind == "?":
            return self.fault("put a conditional inside a conditional in parentheses: a ? (b ? c : d) : e", self.token)
        if self.token.kind not in _ENDS:
            return self.unexpected("an operator")
        message = "a conditional has both branches: condition ? this : that"
        if not self.text.startswith("?.", mark.start):
            return self.fault(message, mark)
        fault = self.fault(f"{message}; a field that may be absent is a.?b", mark)
        self.note_instead(fault)
        return fault

    def _disjunction(self) -> Node:
        terms = [self._conjunction()]
        while self.accept("||"):
            terms.append(self._conjunction())
        return terms[0] if len(terms) == 1 else nodes.Or(tuple(terms), start=terms[0].start, end=terms[-1].end)

    def _conjunction(self) -> Node:
        terms = [self._binary(1)]
        while self.accept("&&"):
            terms.append(self._binary(1))
        return terms[0] if len(terms) == 1 else nodes.And(tuple(terms), start=terms[0].start, end=terms[-1].end)

    def _binary(self, lowest: int) -> Node:
        left = self._unary()
        while (level := _LEVELS.get(self.token.kind, 0)) >= lowest:
            symbol = self.take().kind
            right = self._binary(level + 1)
            left = nodes.Binary(symbol, left, right, start=left.start, end=right.end)
        return left

    def _unary(self) -> Node:
        signs: list[Token] = []
        while self.token.kind in {"!", "-"}:
            if signs and self.token.kind != signs[0].kind:
                raise self.fault(f"put what {signs[0].kind} stands before in parentheses", self.token)
            signs.append(self.take())
        number = self.token
        if signs and signs[0].kind == "-" and number.kind == lexer.NUMBER and not isinstance(number.value, UInt):
            sign = signs.pop()
            node = self._member(self._negative(sign))
        else:
            node = self._member(self._primary())
        for sign in reversed(signs):
            node = nodes.Unary(sign.kind, node, start=sign.start, end=node.end)
        return node

    def _negative(self, sign: Token) -> Node:
        number = self.take()
        assert isinstance(number.value, int | float)  # noqa: S101  # what a number's token holds
        return nodes.Literal(-number.value, start=sign.start, end=number.end)

    def _member(self, node: Node) -> Node:
        for _ in range(MAX_DEPTH + 1):
            if self.accept("."):
                node = self._selection(node)
            elif self.token.kind == "[":
                node = self._index(node)
            else:
                return node
        self.note(self._too_deep(self.token))
        self.give_up()
        return node

    def _index(self, operand: Node) -> Node:
        opening = self.take()
        optional = self.accept("?") is not None
        if self.token.kind == "]":
            self.note(self.fault("an index is missing: list[0], map['key']", self.token))
            index: Node = nodes.Gap()
        else:
            index = self._expression(_INDEX)
        return nodes.Index(operand, index, optional=optional, start=operand.start, end=self._close(opening))

    def _close(self, opening: Token) -> int:
        """Where the bracket ends, in which nothing can follow but its end."""
        closing = self.accept(CLOSERS[opening.kind])
        if closing is None:
            self.unclosed(opening)
        return self.token.start if closing is None else closing.end

    def _selection(self, operand: Node) -> Node:
        optional = self.accept("?") is not None
        if self.token.kind not in {lexer.IDENT, lexer.QUOTED}:
            raise self._bad_field()
        token = self.take()
        name = str(token.value)
        if self.token.kind == "(" and token.kind == lexer.IDENT:
            if optional:
                message = "a method is called with . alone; .? selects a field that may be absent"
                self.note(self.fault(message, token))
            return self._call(operand, token)
        node: Node = nodes.Select(operand, name, optional=optional, start=operand.start, end=token.end)
        dotted = None if optional else self._dotted(node)
        if dotted is not None and dotted in TYPES:
            self.names.pop()
            return nodes.Ident(dotted, start=operand.start, end=token.end)
        return node

    def _bad_field(self) -> CelSyntaxError:
        if self.token.flaws:
            return self.unexpected("a field's name")
        return self.fault(suggestions.bad_field(self.text, self.token), self.token)

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
        if space is not None and _is_called_within(space, name):
            self.names.pop()
            name, target = f"{space}.{name}", None
        is_method = target is not None
        known = len(self.names)
        args, end = self._arguments(binds=macros.binds(name, is_method=is_method))
        if macros.is_macro(name, is_method=is_method):
            macro = macros.expand(self._reporter(args), token, name, target, args, (start, end))
            self._release(macro, args, known)
            if macro is not None:
                return macro
        elif self._checks and self._is_unknown(name, target, token, args):
            self.names[:known] = [name for name in self.names[:known] if name is not target]  # a namespace, misspelt
        return nodes.Call(name, target, args, start=start, end=end)

    def _reporter(self, args: tuple[Node, ...]) -> macros.Report:
        """What notes the faults of a macro: nothing where a gap may be one argument, or two without a comma."""
        if _has_gap(args):
            return lambda _message, _at: None
        return lambda message, at: self.note(self.fault(message, at), counts=True)

    def _release(self, macro: Node | None, args: tuple[Node, ...], known: int) -> None:
        """Take back the names that are the macro's own variables; where it is not known which, all in its arguments."""
        bound = [arg.start for arg in args[: macros.bound(macro)]]
        self.names[known:] = [] if macro is None else [name for name in self.names[known:] if name.start not in bound]

    def _is_unknown(self, name: str, target: Node | None, token: Token, args: tuple[Node, ...]) -> bool:
        """Note what is wrong with a call; whether there is no function of that name."""
        is_method = target is not None
        if functions.find(name, len(args), is_method=is_method) is None:
            is_known = bool(functions.arities(name, is_method=is_method))
            if not isinstance(target, nodes.Gap) and not (is_known and _has_gap(args)):
                self.note(self.fault(suggestions.bad_call(name, target, len(args)), token), counts=is_known)
            return not is_known
        for place, read in _READERS.get(name, ()):
            if place < len(args) and args and isinstance(literal := args[place], nodes.Literal):
                self._check_literal(read, literal)
        return False

    def _check_literal(self, read: Callable[[str], object], literal: nodes.Literal) -> None:
        """Refuse now what would fail for every record."""
        try:
            if isinstance(literal.value, str):
                read(literal.value)
        except CelError as error:
            fault = self.fault(str(error), literal)
            fault.__cause__ = error
            self.note(fault)

    def _arguments(self, *, binds: int) -> tuple[tuple[Node, ...], int]:
        """What stands in a call's parentheses; the first ``binds`` names are bound in what follows them."""
        opening = self.take()
        args: list[Node] = []
        depth = len(self._bound)
        while self.token.kind != ")":
            args.append(self._expression(_ARGUMENT))
            if len(args) <= binds and isinstance(arg := args[-1], nodes.Ident):
                self._bound.append(arg.name)
            if not self.accept(","):
                break
            if self.token.kind == ")":
                if not isinstance(args[-1], nodes.Gap):
                    self.note(self.fault("an argument is missing after the comma", self.token), counts=True)
                args.append(nodes.Gap())
        del self._bound[depth:]
        return tuple(args), self._close(opening)

    # Primaries

    def _primary(self) -> Node:
        kind = self.token.kind
        if kind == lexer.IDENT:
            return self._name(self.take())
        if kind in _LITERALS:
            return self._literal(self.take())
        if kind == ".":
            dot = self.take()
            if self.token.kind != lexer.IDENT:
                raise self.unexpected("a name")
            return self._rooted(replace(self._name(self.take()), start=dot.start))
        if kind == "(":
            return self._parenthesised(self.take())
        if kind == "[":
            return self._list(self.take())
        if kind == "{":
            return self._map(self.take())
        raise self.unexpected("a value")

    def _rooted(self, node: Node) -> Node:
        """What a leading dot means: the variable itself, whatever macros around here call theirs."""
        if not isinstance(node, nodes.Ident) or node.name not in self._bound:
            return node
        self.names.append(node)
        hidden = f".{node.name}@{node.start}"
        self.roots[hidden] = node
        return replace(node, name=hidden)

    def _literal(self, token: Token) -> Node:
        for flaw in token.flaws[:MAX_FAULTS]:
            self.note(lexer.syntax_error(self.text, *flaw))
        if lexer.is_too_large(token):
            self.note(self.fault(lexer.TOO_LARGE, token))
        if token.flaws and not lexer.is_string(self.text, token):
            return nodes.Gap(start=token.start, end=token.end)
        return nodes.Literal(token.value, start=token.start, end=token.end)

    def _name(self, token: Token) -> Node:
        name = str(token.value)
        if name in suggestions.RESERVED:
            raise self.fault(suggestions.reserved(name), token)
        if self.token.kind == "(":
            return self._call(None, token)
        node = nodes.Ident(name, start=token.start, end=token.end)
        if name not in self._bound:
            self.names.append(node)
        return node

    def _parenthesised(self, opening: Token) -> Node:
        if self.accept(")"):
            raise self.fault("the parentheses are empty", opening)
        node = self._expression(_PARENTHESES)
        return replace(node, start=opening.start, end=self._close(opening))

    def _list(self, opening: Token) -> Node:
        elements: list[Node] = []
        optional: list[bool] = []
        while self.token.kind != "]":
            optional.append(self.accept("?") is not None)
            elements.append(self._expression(_ELEMENT))
            if not self.accept(","):
                break
        end = self._close(opening)
        return nodes.ListNode(tuple(elements), tuple(optional), start=opening.start, end=end)

    def _map(self, opening: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        optional: list[bool] = []
        while self.token.kind != "}":
            optional.append(self.accept("?") is not None)
            key = self._expression(_KEY)
            entries.append((key, self._expression(_VALUE) if self.accept(":") else nodes.Gap()))
            if not self.accept(","):
                break
        end = self._close(opening)
        return nodes.MapNode(tuple(entries), tuple(optional), start=opening.start, end=end)


def _is_called_within(space: str, name: str) -> bool:
    """Whether ``space.name()`` is a function of a namespace: not where ``space`` may be a variable of that name, of
    which a method is called."""
    if space in macros.NAMESPACES:
        return True
    is_function = bool(functions.arities(f"{space}.{name}", is_method=False))
    is_method = bool(functions.arities(name, is_method=True)) or macros.is_macro(name, is_method=True)
    return functions.is_namespace(space) and (is_function or not is_method)
