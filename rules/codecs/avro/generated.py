"""Readers of Avro's binary encoding, generated for one plan: fast, and as strict as the exact reader.

A generated reader raises some exception for bytes that are no value of its plan, and leaves it to the exact one to
say why. Code is written inline up to a depth; records that stand in several places, and what is nested deeper, become
functions of their own, so that the code never grows faster than the schema.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from rules.cel.compile_code import Code
from rules.codecs.avro.exact import Malformed
from rules.codecs.avro.resolution import Plan, fresh

Read = Callable[[bytes], object]
Cut = Callable[[bytes, int], Sequence[bytes]]

_INLINE: Final = 12  # indentation; CPython allows 20 loops inside each other, and 100 levels of indentation


def _varint(data: bytes, at: int, first: int) -> tuple[int, int]:
    """The rest of a varint whose first byte, already read, says that more follow; and the byte after it."""
    number, shift = first & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise Malformed
    if number >> 64:
        raise Malformed
    return number, at


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length that is not one byte, or is negative; and the byte after it."""
    number, at = _varint(data, at + 1, data[at]) if data[at] > 0x7F else (data[at], at + 1)
    if number & 1:
        raise Malformed
    return number >> 1, at


def _count(data: bytes, at: int) -> tuple[int, int]:
    """How many items follow of an array or map; and the byte after it, and after the size that may follow."""
    number, at = _varint(data, at + 1, data[at]) if data[at] > 0x7F else (data[at], at + 1)
    count = (number >> 1) ^ -(number & 1)
    if count < 0:
        count = -count
        size = data[at]
        at += 1
        if size > 0x7F:
            _, at = _varint(data, at, size)
    if count > len(data) - at:
        raise Malformed
    return count, at


_NAMESPACE: Final[dict[str, object]] = {
    "varint": _varint,
    "length": _length,
    "count": _count,
    "fresh": fresh,
    "Malformed": Malformed,
    "float_at": struct.Struct("<f").unpack_from,
    "double_at": struct.Struct("<d").unpack_from,
}


def generate_reader(plan: Plan) -> Read:
    """What reads a value, which must be all of the bytes."""
    writer = _Writer(plan)
    code = writer.code
    with code.block("def read(data):"):
        code.line("at = 0")
        value = writer.value(plan, wanted=True)
        code.line("if at != len(data): raise Malformed")
        code.line(f"return {value}")
    return writer.function("read")


def generate_cutter(plan: Plan) -> Cut:
    """What cuts so many values, which must be all of the bytes, apart."""
    writer = _Writer(plan)
    code = writer.code
    with code.block("def cut(data, records):"):
        code.line("at = 0")
        code.line("values = []")
        code.line("add = values.append")
        with code.block("for _ in range(records):"):
            code.line("start = at")
            writer.value(plan, wanted=False)
            code.line("add(data[start:at])")
        code.line("if at != len(data): raise Malformed")
        code.line("return values")
    return writer.function("cut")


class _Writer:
    """Writes code that reads ``data`` from ``at`` on, and moves ``at`` behind what it has read.

    Where ``at`` has passed the end, the next byte raises IndexError, and the last check of all Malformed.
    """

    def __init__(self, plan: Plan) -> None:
        self.code = Code(dict(_NAMESPACE))
        self._apart = _recurring(plan)
        self._names: dict[tuple[int, bool], str] = {}
        self._waiting: list[tuple[Plan, bool]] = []

    def function(self, name: str) -> Callable[..., Any]:
        """The function of that name, with all that it calls."""
        while self._waiting:
            plan, wanted = self._waiting.pop()
            with self.code.block(f"def {self._names[id(plan), wanted]}(data, at):"):
                value = self._written(plan, wanted=wanted)
                self.code.line(f"return {value}, at" if wanted else "return at")
        return self.code.function(name, f"<avro {name}>")

    def value(self, plan: Plan, *, wanted: bool) -> str:
        """Write what reads a value; the expression of it, if it is ``wanted``."""
        if id(plan) in self._apart or (self.code.depth > _INLINE and plan.parts):
            return self._called(plan, wanted=wanted)
        return self._written(plan, wanted=wanted)

    def _called(self, plan: Plan, *, wanted: bool) -> str:
        key = id(plan), wanted
        if key not in self._names:
            self._names[key] = self.code.name("read_" if wanted else "pass_")
            self._waiting.append((plan, wanted))
        name = self.code.name("v")
        self.code.line(f"{name}, at = {self._names[key]}(data, at)" if wanted else f"at = {self._names[key]}(data, at)")
        return name

    def _written(self, plan: Plan, *, wanted: bool) -> str:
        value: str = getattr(self, f"_{plan.kind}")(plan, wanted=wanted)
        if wanted and plan.convert is not None:
            return self.code.let(f"{self.code.outside(plan.convert, 'convert')}({value})")
        return value

    # By kind

    def _refused(self, plan: Plan, *, wanted: bool) -> str:  # noqa: ARG002 - of all kinds
        self.code.line("raise Malformed")
        return "None"

    def _null(self, plan: Plan, *, wanted: bool) -> str:  # noqa: ARG002 - of all kinds
        return "None"

    def _boolean(self, plan: Plan, *, wanted: bool) -> str:  # noqa: ARG002 - of all kinds
        number = self._byte()
        self.code.line(f"if {number} > 1: raise Malformed")
        return f"({number} == 1)"

    def _long(self, plan: Plan, *, wanted: bool) -> str:
        number = self._byte()
        self.code.line(f"if {number} > 127: {number}, at = varint(data, at, {number})")
        if plan.kind == "int":
            self.code.line(f"if {number} > 0xffffffff: raise Malformed")
        return self.code.let(f"({number} >> 1) ^ -({number} & 1)") if wanted else ""

    _int = _long

    def _float(self, plan: Plan, *, wanted: bool) -> str:
        size = 4 if plan.kind == "float" else 8
        name = self.code.name("v")
        if wanted:
            self.code.line(f"{name}, = {plan.kind}_at(data, at)")
        self.code.line(f"at += {size}")
        return name

    _double = _float

    def _fixed(self, plan: Plan, *, wanted: bool) -> str:
        name = self.code.name("v")
        if wanted:
            self.code.line(f"{name} = data[at:at + {plan.size}]")
        self.code.line(f"at += {plan.size}")
        return name

    def _bytes(self, plan: Plan, *, wanted: bool) -> str:
        size, name = self._size(), self.code.name("v")
        if wanted:
            self.code.line(f"{name} = data[at:at + {size}]{'.decode()' if plan.kind == 'string' else ''}")
        self.code.line(f"at += {size}")
        return name

    _string = _bytes

    def _enum(self, plan: Plan, *, wanted: bool) -> str:
        index = self._size()
        symbols = self.code.outside(plan.symbols, "SYMBOLS")
        if not wanted:
            self.code.line(f"if {index} >= {len(plan.symbols)}: raise Malformed")
            return ""
        name = self.code.let(f"{symbols}[{index}]")
        if None in plan.symbols:
            self.code.line(f"if {name} is None: raise Malformed")
        return name

    def _union(self, plan: Plan, *, wanted: bool) -> str:
        index, name = self._size(), self.code.name("v")
        for number, branch in enumerate(plan.branches):
            with self.code.block(f"{'el' if number else ''}if {index} == {number}:"):
                value = self.value(branch, wanted=wanted)
                if wanted:
                    self.code.line(f"{name} = {value}")
        self.code.line("else: raise Malformed")
        return name

    def _record(self, plan: Plan, *, wanted: bool) -> str:
        values: dict[str, str] = {}
        for _, own, part in plan.fields:
            value = self.value(part, wanted=wanted and own is not None)
            if own is not None:
                values[own] = value
        if not wanted:
            return ""
        for name, default in plan.absent.items():
            values[name] = self._default(default)
        return self.code.let(f"{{{', '.join(f'{name!r}: {values[name]}' for name in plan.order)}}}")

    def _default(self, default: object) -> str:
        text = self.code.constant(default).text
        return f"fresh({text})" if isinstance(default, list | dict) else text

    def _array(self, plan: Plan, *, wanted: bool) -> str:
        assert plan.item is not None  # noqa: S101 - arrays and maps have one
        code, name, count = self.code, self.code.name("v"), self.code.name("n")
        if wanted:
            code.line(f"{name} = {'{}' if plan.kind == 'map' else '[]'}")
        self._next_count(count)
        with code.block(f"while {count}:"):
            with code.block(f"for _ in range({count}):"):
                key = self._bytes(_KEY, wanted=wanted) if plan.kind == "map" else ""
                value = self.value(plan.item, wanted=wanted)
                if wanted:
                    code.line(f"{name}[{key}] = {value}" if key else f"{name}.append({value})")
            self._next_count(count)
        return name

    _map = _array

    def _next_count(self, name: str) -> None:
        self.code.line(f"{name} = data[at]")
        self.code.line(f"if {name}: {name}, at = count(data, at)")
        self.code.line("else: at += 1")

    def _byte(self) -> str:
        number = self.code.let("data[at]")
        self.code.line("at += 1")
        return number

    def _size(self) -> str:
        """A number that is no less than zero, in most cases of one byte."""
        size = self.code.let("data[at]")
        with self.code.block(f"if {size} & 129:"):
            self.code.line(f"{size}, at = length(data, at)")
        with self.code.block("else:"):
            self.code.line(f"{size} >>= 1")
            self.code.line("at += 1")
        return size


_KEY: Final = Plan("string")


def _recurring(plan: Plan) -> frozenset[int]:
    """The records that stand in more than one place."""
    found: Counter[int] = Counter([id(plan)])
    waiting = [plan]
    while waiting:
        for part in waiting.pop().parts:
            found[id(part)] += 1
            if found[id(part)] == 1:
                waiting.append(part)
    return frozenset(identity for identity, count in found.items() if count > 1)
