"""Reading Avro's binary encoding exactly: slow, and what the generated readers are held against.

Whatever is wrong with the bytes is told with the byte and the field.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from rules.codecs.avro.resolution import Plan, fresh

_FLOAT: Final = struct.Struct("<f")
_DOUBLE: Final = struct.Struct("<d")
_LONGEST: Final = 10  # bytes of a varint of 64 bits


class Malformed(ValueError):
    """These bytes are no value of the schema."""


def read_exactly(plan: Plan, data: bytes, start: int = 0) -> object:
    """The value that the bytes from ``start`` on are, all of them.

    Raises ValueError, which says what is wrong, at which byte, and in which field.
    """
    reader = _Reader(data, start)
    try:
        value = reader.read(plan)
        if reader.at != len(data):
            raise Malformed(f"the value ends at byte {reader.at}, and {len(data) - reader.at} more follow")
    except RecursionError as error:
        raise Malformed("nested too deep to be read") from error
    except ValueError as error:
        where = "".join(reader.path).removeprefix(".")
        raise Malformed(f"{error} (in {where})" if where else str(error)) from error
    return value


class _Reader:
    """``at`` is the byte that is read next, ``path`` leads to the value that is being read."""

    def __init__(self, data: bytes, start: int) -> None:
        self.at = start
        self.path: list[str] = []
        self._data = data
        self._passing = False  # whether what is read is left out, and need not be more than passed over

    def read(self, plan: Plan) -> Any:
        start = self.at
        value = getattr(self, f"_{plan.kind}")(plan)
        if plan.convert is None or self._passing:
            return value
        try:
            return plan.convert(value)
        except ValueError as error:
            raise Malformed(f"{error}, at byte {start}") from error

    def _refused(self, plan: Plan) -> Any:
        raise Malformed(f"{plan.reason}, at byte {self.at}")

    def _null(self, _: Plan) -> Any:
        return None

    def _boolean(self, _: Plan) -> Any:
        byte = self._take(1)[0]
        if byte > 1:
            raise Malformed(f"{byte:#04x} is no boolean, at byte {self.at - 1}")
        return byte == 1

    def _int(self, _: Plan) -> Any:
        start, number = self.at, self._number()
        if not -(2**31) <= number < 2**31:
            raise Malformed(f"the int at byte {start} has more than 32 bits")
        return number

    def _long(self, _: Plan) -> Any:
        return self._number()

    def _float(self, _: Plan) -> Any:
        return _FLOAT.unpack(self._take(4))[0]

    def _double(self, _: Plan) -> Any:
        return _DOUBLE.unpack(self._take(8))[0]

    def _fixed(self, plan: Plan) -> Any:
        return self._take(plan.size)

    def _bytes(self, _: Plan) -> Any:
        return self._take(self._length("a length"))

    def _string(self, _: Plan) -> Any:
        raw = self._take(self._length("a length"))
        if self._passing:
            return ""
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"not UTF-8 at byte {self.at - len(raw) + error.start}") from error

    def _enum(self, plan: Plan) -> Any:
        start, index = self.at, self._length("a symbol")
        if index >= len(plan.symbols):
            raise Malformed(f"there is no symbol {index} of {plan.name}, at byte {start}")
        symbol = plan.symbols[index]
        if symbol is None:
            raise Malformed(f"a symbol that our {plan.name} does not have, at byte {start}")
        return symbol

    def _union(self, plan: Plan) -> Any:
        start, index = self.at, self._length("a branch")
        if index >= len(plan.branches):
            raise Malformed(f"there is no branch {index} of the union, at byte {start}")
        return self.read(plan.branches[index])

    def _record(self, plan: Plan) -> Any:
        found: dict[str, object] = {}
        for name, own, field in plan.fields:
            self.path.append(f".{name}")
            passing = self._passing
            self._passing = passing or own is None
            value = self.read(field)
            self._passing = passing
            self.path.pop()
            if own is not None:
                found[own] = value
        return {name: found[name] if name in found else fresh(plan.absent.get(name)) for name in plan.order}

    def _array(self, plan: Plan) -> Any:
        found: list[object] = []
        while count := self._count():
            for _ in range(count):
                self.path.append(f"[{len(found)}]")
                found.append(self._item(plan))
                self.path.pop()
        return found

    def _map(self, plan: Plan) -> Any:
        found: dict[str, object] = {}
        while count := self._count():
            for _ in range(count):
                name = self._string(plan)
                self.path.append(f"[{name!r}]" if len(name) <= 40 else "[...]")
                found[name] = self._item(plan)
                self.path.pop()
        return found

    def _item(self, plan: Plan) -> Any:
        assert plan.item is not None  # noqa: S101 - arrays and maps have one
        return self.read(plan.item)

    # What values are made of

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise Malformed(f"it ends too early, at byte {len(self._data)}: {size} bytes from byte {self.at} on")
        taken, self.at = self._data[self.at : end], end
        return taken

    def _number(self) -> int:
        start = self.at
        number = 0
        for place in range(_LONGEST):
            byte = self._take(1)[0]
            number |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                break
        else:
            raise Malformed(f"the number at byte {start} does not end")
        if number >> 64:
            raise Malformed(f"the number at byte {start} has more than 64 bits")
        return (number >> 1) ^ -(number & 1)

    def _length(self, what: str) -> int:
        start, number = self.at, self._number()
        if number < 0:
            raise Malformed(f"{what} is negative, at byte {start}")
        return number

    def _count(self) -> int:
        """How many items follow, of those that arrays and maps write at once."""
        start, count = self.at, self._number()
        if count < 0:
            self._number()  # the size of what follows, for those who pass over it
            count = -count
        if count > len(self._data) - self.at:
            raise Malformed(f"{count} items at byte {start}, in {len(self._data) - self.at} bytes")
        return count
