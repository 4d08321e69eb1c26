"""The compiler: a syntax tree becomes Python statements that decide the plain cases natively.

The generated code has three answers for a condition, true, false and missing, and one way out, an exception: for a
type that an operator does not take, for an integer beyond 53 bits beside a double, for whatever is rare. Then the
exact evaluator decides. Where the generated code does answer, it answers as the exact evaluator does.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final

from rules.cel import compile_forms as forms
from rules.cel import functions, nodes
from rules.cel.compile_code import DEEPEST, Code, Operand
from rules.cel.compile_forms import Cond, is_impure
from rules.cel.compile_loops import Loops, is_loop
from rules.cel.compile_runtime import RUNTIME
from rules.cel.errors import CelError, CelMissing
from rules.cel.evaluator import evaluator
from rules.cel.nodes import Node
from rules.cel.operators import PROMOTING, STRICT, negate
from rules.cel.scope import free_variables, from_record
from rules.cel.values import TYPES

_ORDERINGS: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}  # and what they are with the sides exchanged
_LAZY: Final = frozenset({"or", "orValue"})
_NOTHING: Final = Operand("M", missable=True)


class Compiler:
    """Writes expressions into ``code``. A subclass says what its variables are.

    ``constants`` are the variables whose values are the same for every record.
    """

    def __init__(self, code: Code, constants: Mapping[str, object]) -> None:
        self.code = code
        self.constants = constants
        self.memos: dict[Node, str] = {}
        self.loops = Loops(self)
        code.namespace.update(RUNTIME)

    # What a subclass says

    def variable(self, name: str) -> Operand | None:
        """The operand of a variable; None when there is no such variable."""
        raise NotImplementedError

    def takes(self, name: str) -> bool:
        """Whether a name means something already where an expression begins."""
        return name in self.constants

    def field(self, operand: Node, name: str) -> Operand | None:  # noqa: ARG002 - for subclasses
        """Where ``operand.name`` is, if it need not be selected; None for the usual way."""
        return None

    def fieldless(self, operand: Node) -> str | None:  # noqa: ARG002 - for subclasses
        """When something whose fields ``field`` finds has none after all; None for never."""
        return None

    def is_event(self, operand: Operand) -> bool:  # noqa: ARG002 - for subclasses
        """Whether a value is a whole event, which is hardly ever null."""
        return False

    # Conditions

    def branch(self, node: Node, yes: Callable[[], None], missing: Callable[[], None] | None = None) -> None:
        """Write what happens when a condition is true, and when it is missing. When it is false, control goes on."""
        if isinstance(node, nodes.And) and self._native(node) and node not in self.memos:
            self._all(forms.chunked(node.terms), yes, missing)
            return
        cond = self.condition(node)
        if cond.true == "True":
            yes()
            return
        with self.code.block(f"if {cond.true}:"):
            yes()
        if missing is not None and cond.missing is not None:
            with self.code.block(f"elif {cond.missing}:"):
                missing()

    def _all(self, terms: tuple[Node, ...], yes: Callable[[], None], missing: Callable[[], None] | None) -> None:
        """``a && b`` as an ``if`` in an ``if``, entered for a missing term too, since a later one may be false."""
        reserved = self.code.reserve()
        flag = self.code.name("m")
        if self._descend(terms, flag, yes, missing):
            reserved(f"{flag} = False")

    def _descend(
        self,
        terms: tuple[Node, ...],
        flag: str,
        yes: Callable[[], None],
        missing: Callable[[], None] | None,
        *,
        flagged: bool = False,
    ) -> bool:
        """Write the terms, one inside the other; whether any of them may set the flag for a missing one."""
        code = self.code
        if not terms:
            if not flagged:
                yes()
                return False
            with code.block(f"if not {flag}:"):
                yes()
            with code.block("else:"):
                if missing is not None:
                    missing()
            return True
        cond = self.condition(terms[0])
        if cond.missing is None or missing is None:
            header = cond.true
        else:
            header, flagged = f"{cond.true} or {cond.missing} and ({flag} := True)", True
        with code.block(f"if {header}:"):
            return self._descend(terms[1:], flag, yes, missing, flagged=flagged)

    def condition(self, node: Node) -> Cond:
        """Write what a condition needs, and return how to ask for it."""
        if node in self.code.known or node in self.memos or not self._native(node):
            return forms.of(self.value(node))
        constant = self._constant(node)
        return self._asked(node) if constant is None else forms.of(constant)

    def _asked(self, node: Node) -> Cond:
        match node:
            case nodes.Unary(operator="!"):
                return forms.negated(self.condition(node.operand))
            case nodes.Binary(operator="==" | "!="):
                cond = self._equality(node.left, node.right)
                return cond if node.operator == "==" else forms.negated(cond)
            case nodes.Binary(operator="in"):
                return self._membership(node.left, node.right)
            case nodes.Binary() if node.operator in _ORDERINGS:
                return self._ordering(node.operator, node.left, node.right)
            case nodes.Has():
                return self._presence(node)
            case nodes.Call(target=Node() as target, args=(nodes.Literal(value=str() as text),)):
                return self._text_test(node.name, target, text) or forms.of(self.value(node))
        return forms.of(self.value(node))

    def _equality(self, left: Node, right: Node) -> Cond:
        first, second = self.value(left), self.value(right)
        if first.is_constant:
            first, second = second, first
        text, missing = first.text, forms.either(first, second)
        if second.is_constant:
            constant = second.constant
            if type(constant) in {str, bytes}:
                return Cond(f"{text} == {second.text}", missing)
            if constant is None or constant is True or constant is False:
                return Cond(f"{text} is {constant!r}", missing)
            if forms.is_safe(constant):
                return Cond(f"({text} == {forms.number(constant)} and {text}.__class__ is not bool)", missing)
        asked = f"equal({text}, {second.text})"
        if not second.is_constant:
            asked = f"({text} == {second.text} if {text}.__class__ is str else {asked})"
        return Cond(asked, missing)

    def _ordering(self, symbol: str, left: Node, right: Node) -> Cond:
        first, second = self.value(left), self.value(right)
        missing = forms.either(first, second)
        if first.is_constant:
            first, second, mirrored = second, first, _ORDERINGS[symbol]
        else:
            mirrored = symbol
        text, constant = first.text, second.constant
        if second.is_constant and forms.is_safe(constant):
            # Of all that Python would compare with a number, only a bool is none in CEL.
            asked = f"{text} {mirrored} {forms.number(constant)}"
            return Cond(f"({asked} if {text} is not True and {text} is not False else surprise())", missing)
        if second.is_constant and isinstance(constant, str):
            asked = f"{text} {mirrored} {second.text}"
            return Cond(f"({asked} if {self._class_of(first)} is str else not_that({text}))", missing)
        return Cond(forms.unless(missing, f"ordered({mirrored!r}, {text}, {second.text})"), missing)

    def _membership(self, left: Node, right: Node) -> Cond:
        first, second = self.value(left), self.value(right)
        missing = forms.either(first, second)
        if second.is_constant and isinstance(second.constant, list):
            asked = forms.in_list(first.text, second.constant)
            if asked is not None:
                return Cond(asked, missing)
        if first.is_constant and isinstance(first.constant, str) and not second.is_constant:
            kind = self._class_of(second)
            asked = f"{first.text} in {second.text}"
            return Cond(f"({asked} if {kind} is dict or {kind} is list else not_that({second.text}))", missing)
        return Cond(forms.unless(missing, f"contains({forms.normal(first)}, {second.text})"), missing)

    def _presence(self, node: nodes.Has) -> Cond:
        found = self.field(node.operand, node.field)
        if found is not None:
            return Cond("True" if not found.missable else f"{found.text} is not M", self.fieldless(node.operand))
        operand = self.value(node.operand)
        kind = self._class_of(operand)
        asked = f"({node.field!r} in {operand.text} if {kind} is dict else has_none({operand.text}))"
        return Cond(asked, f"{kind} is not dict")

    def _text_test(self, name: str, target: Node, text: str) -> Cond | None:
        """``target.startsWith("text")`` and the like."""
        if name == "matches":
            try:
                search = functions.strings.pattern(text).search
            except CelError:
                return None
        elif name not in {"startsWith", "endsWith", "contains"}:
            return None
        operand = self.value(target)
        subject, missing = operand.text, forms.either(operand)
        if name in {"startsWith", "endsWith"}:  # only texts and bytes have these, and bytes refuse a text
            return Cond(f"{subject}.{name.lower()}({text!r})", missing)
        asked = f"{text!r} in {subject}" if name == "contains" else ""
        if not asked:
            asked = f"{self.code.outside(search, 'SEARCH')}({subject}.encode()) is not None"
        return Cond(f"({asked} if {self._class_of(operand)} is str else not_that({subject}))", missing)

    def _class_of(self, operand: Operand) -> str:
        """The name of a local that holds a value's class."""
        key = ("class", operand.text)
        if key not in self.code.known:
            self.code.known[key] = Operand(self.code.let(f"{operand.text}.__class__"))
        return self.code.known[key].text

    # Values

    def value(self, node: Node) -> Operand:
        """Write what computes a value, and return where it is."""
        if self.loops.counts(node):
            return self._computed(node)
        known = self.code.known.get(node)
        if known is not None:
            return known
        operand = self._constant(node)
        if operand is None and node in self.memos:
            operand = self._memoised(node, self.memos[node])
        if operand is None:
            operand = self._computed(node)
        if not is_impure(node):
            self.code.known[node] = operand
        return operand

    def _memoised(self, node: Node, name: str) -> Operand:
        """A value that several places use, computed by the first of them that is reached."""
        with self.code.block(f"if {name} is U:"):
            operand = self._computed(node)
            self.code.line(f"{name} = {operand.text}")
        return Operand(name, missable=operand.missable, raw=operand.raw, is_bool=operand.is_bool)

    def constant(self, node: Node) -> tuple[object] | None:
        """The value of an expression that is the same for every record; None for any other, and where it has none."""
        operand = self._constant(node)
        return (operand.constant,) if operand is not None and operand.is_constant else None

    def _constant(self, node: Node) -> Operand | None:
        """The operand of what is the same for every record."""
        if isinstance(node, nodes.Literal):
            return self.code.constant(node.value)
        if not free_variables(node) <= self.constants.keys() or is_impure(node) or forms.height(node) > forms.TALLEST:
            return None
        try:
            return self.code.constant(evaluator(node)(self.constants))
        except CelMissing:
            return _NOTHING
        except CelError:
            return Operand("surprise()")

    def _computed(self, node: Node) -> Operand:
        if not self._native(node):
            return self._exactly(node)
        match node:
            case nodes.Ident(name=name):
                return self.loops.bound.get(name) or self.variable(name) or self._exactly(node)
            case nodes.Macro() if is_loop(node) and not self._hides(node):
                return self.loops.write(node)
            case nodes.Select(optional=False):
                return self._selected(node.operand, node.field)
            case nodes.Index(optional=False, index=nodes.Literal(value=str() as name)):
                return self._selected(node.operand, name)
            case nodes.Index(optional=False, index=nodes.Literal(value=place)) if type(place) is int and place >= 0:
                operand = self.value(node.operand)
                return Operand(self.code.let(f"element({operand.text}, {place})"), missable=True, raw=True)
            case nodes.And():
                return self._conjunction(node)
            case nodes.Or():
                return self._disjunction(node)
            case nodes.Conditional():
                return self._choice(node)
            case nodes.Unary(operator="-"):
                return self._called(negate, (node.operand,))
            case nodes.Binary() if node.operator in STRICT:
                return self._arithmetic(node)
            case nodes.Binary() | nodes.Unary() | nodes.Has():
                return self._answer(self._asked(node))
            case nodes.Call():
                return self._call(node)
        return self._exactly(node)

    def _selected(self, node: Node, field: str) -> Operand:
        special = self.field(node, field)
        if special is not None:
            return special
        operand = self.value(node)
        found = f"{operand.text}.get({field!r}, M)"
        if not self.is_event(operand):
            # Null and what is missing have no fields; anything else that is no map has no get, and is a surprise.
            found = f"{found} if {operand.text} is not None else M"
        return Operand(self.code.let(found), missable=True, raw=True)

    def _answer(self, cond: Cond) -> Operand:
        text = f"True if {cond.true} else " + ("False" if cond.missing is None else f"M if {cond.missing} else False")
        return Operand(self.code.let(text), missable=cond.missing is not None, is_bool=True)

    def _conjunction(self, node: nodes.And) -> Operand:
        result = self.code.let("False")
        missable = False

        def missing() -> None:
            nonlocal missable
            missable = True
            self.code.line(f"{result} = M")

        self._all(forms.chunked(node.terms), lambda: self.code.line(f"{result} = True"), missing)
        return Operand(result, missable=missable, is_bool=True)

    def _disjunction(self, node: nodes.Or) -> Operand:
        """``a || b``: a term is asked when the ones before it are not true; a missing one counts if none is."""
        result = self.code.let("False")

        def ascend(terms: tuple[Node, ...], *, missable: bool) -> bool:
            if not terms:
                return missable
            cond = self.condition(terms[0])
            with self.code.block(f"if {cond.true}:"):
                self.code.line(f"{result} = True")
            with self.code.block("else:"):
                if cond.missing is not None:
                    with self.code.block(f"if {cond.missing}:"):
                        self.code.line(f"{result} = M")
                return ascend(terms[1:], missable=missable or cond.missing is not None)

        return Operand(result, missable=ascend(forms.chunked(node.terms, nodes.Or), missable=False), is_bool=True)

    def _choice(self, node: nodes.Conditional) -> Operand:
        cond = self.condition(node.condition)
        result = self.code.name()
        with self.code.block(f"if {cond.true}:"):
            then = self.value(node.then)
            self.code.line(f"{result} = {then.text}")
        if cond.missing is not None:
            with self.code.block(f"elif {cond.missing}:"):
                self.code.line(f"{result} = M")
        with self.code.block("else:"):
            otherwise = self.value(node.otherwise)
            self.code.line(f"{result} = {otherwise.text}")
        return Operand(
            result,
            missable=cond.missing is not None or then.missable or otherwise.missable,
            raw=then.raw or otherwise.raw,
            is_bool=then.is_bool and otherwise.is_bool,
        )

    def _arithmetic(self, node: nodes.Binary) -> Operand:
        promote = from_record(node.left) or from_record(node.right)
        function = (PROMOTING if promote else STRICT)[node.operator]
        left, right = self.value(node.left), self.value(node.right)
        general = self._call_text(function, (left, right))
        doubles = [forms.is_double(operand, promote=promote) for operand in (left, right)]
        if node.operator in {"+", "-", "*"} and None not in doubles:
            test = " and ".join(filter(None, doubles))
            general = f"{left.text} {node.operator} {right.text} if {test} else {general}"
        return Operand(self.code.let(general), missable=left.missable or right.missable)

    def _call(self, node: nodes.Call) -> Operand:
        function = functions.called(node)
        if function is None or (node.target is not None and node.name in _LAZY):
            return self._exactly(node)
        if node.target is not None and len(node.args) == 1 and isinstance(node.args[0], nodes.Literal):
            text = node.args[0].value
            cond = self._text_test(node.name, node.target, text) if isinstance(text, str) else None
            if cond is not None:
                return self._answer(cond)
        args = node.args if node.target is None else (node.target, *node.args)
        return self._size(function, *args) if node.name == "size" and len(args) == 1 else self._called(function, args)

    def _size(self, function: Callable[..., object], node: Node) -> Operand:
        """The size of something, which is not looked into for it."""
        operand = self.value(node)
        kind, general = self._class_of(operand), self._call_text(function, (operand,))
        text = f"len({operand.text}) if {kind} is list or {kind} is str or {kind} is dict else {general}"
        return Operand(self.code.let(text), missable=operand.missable)

    def _called(self, function: Callable[..., object], args: tuple[Node, ...]) -> Operand:
        operands = tuple(map(self.value, args))
        missable = any(operand.missable for operand in operands)
        return Operand(self.code.let(self._call_text(function, operands)), missable=missable)

    def _call_text(self, function: Callable[..., object], operands: tuple[Operand, ...]) -> str:
        name = self.code.outside(function, "F")
        if any(operand.missable for operand in operands):
            return f"call({', '.join([name, *(operand.text for operand in operands)])})"
        return f"{name}({', '.join(map(forms.normal, operands))})"

    def _exactly(self, node: Node) -> Operand:
        if self.loops.counts(node):
            return Operand("surprise()")
        run = self.code.outside(evaluator(node), "RUN")
        entries = []
        for name in sorted(free_variables(node)):
            if name in self.constants:
                entries.append(f"{name!r}: {self.code.constant(self.constants[name]).text}")
            elif (operand := self.loops.bound.get(name) or self.variable(name)) is not None:
                entries.append(f"{name!r}: {operand.text}")
        return Operand(self.code.let(f"exact({run}, {{{', '.join(entries)}}})"), missable=True)

    def _hides(self, node: Node, around: frozenset[str] = frozenset()) -> bool:
        """Whether a macro in an expression takes a name that means something around it."""
        if not isinstance(node, nodes.Macro):
            return any(self._hides(child, around) for child in nodes.children(node))
        if any(
            name in TYPES or name in around or name in self.loops.bound or self.takes(name) for name in node.variables
        ):
            return True
        inside = around.union(node.variables)
        return self._hides(node.target, around) or any(self._hides(body, inside) for body in node.bodies)

    def _native(self, node: Node) -> bool:
        """Whether a node may be written as statements: not where code or tree are very deep already."""
        return self.code.depth < DEEPEST and forms.height(node) <= forms.TALLEST


class _Condition(Compiler):
    """One expression over one variable."""

    def __init__(self, code: Code, name: str) -> None:
        super().__init__(code, {})
        self._name = name

    def variable(self, name: str) -> Operand | None:
        """The one variable, under a name of our own."""
        return Operand("value", raw=True) if name == self._name else None

    def takes(self, name: str) -> bool:
        """The one variable does."""
        return name == self._name


def predicate(node: Node, name: str) -> Callable[[object], bool]:
    """A function that says whether an expression over the variable ``name`` is true. An error counts as false."""
    code = Code()
    run = evaluator(node)

    def exactly(value: object) -> bool:
        try:
            return run({name: value}) is True
        except CelError:
            return False

    code.namespace["exactly"] = exactly
    with code.block("def holds(value):"):
        with code.block("try:"):
            _Condition(code, name).branch(node, lambda: code.line("return True"))
        with code.block("except Exception:"):
            code.line("return exactly(value)")
        code.line("return False")
    return code.function("holds", f"<cel predicate {zlib.crc32(code.source.encode()):08x}>")
