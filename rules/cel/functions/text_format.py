"""``"%s costs %.2f".format([name, price])``."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

from rules.cel.errors import CelError
from rules.cel.functions.registry import method
from rules.cel.values import Duration, Timestamp, Type, UInt, a_type, normal

_CLAUSE: Final = re.compile(r"%(?:(%)|(?:\.([0-9]+))?([a-zA-Z])|)")
# Bytes that are no UTF-8, as they are decoded: those that follow each other become one mark.
_UNDECODED: Final = re.compile("[\udc80-\udcff]+")
_DEFAULT_PRECISION: Final = 6
_MAX_PRECISION: Final = 1000


@method("format")
def _format_text(text: str, args: list[object]) -> str:
    """The text with its clauses filled in: `%s %d %f %e %b %o %x %X`, with a precision as in `%.3f`, and `%%`.

    Example: "%s has %d of %.1f".format(["Ada", 2, 12.5]) == "Ada has 2 of 12.5"
    """
    rest = iter(args)

    def clause(found: re.Match[str]) -> str:
        percent, precision, letter = found.groups()
        if percent:
            return "%"
        if letter not in _CLAUSES:
            raise CelError(f"format(): {found[0]!r} is no clause: there are %s %d %f %e %b %o %x %X and %%")
        try:
            value = normal(next(rest))
        except StopIteration as error:
            raise CelError(f"format(): there are more clauses than the {len(args)} values") from error
        digits = _DEFAULT_PRECISION if precision is None else int(precision[:_PRECISION_DIGITS])
        if digits > _MAX_PRECISION:
            raise CelError(f"format(): at most {_MAX_PRECISION} digits")
        return _CLAUSES[letter](value, digits)

    return _CLAUSE.sub(clause, text)


_PRECISION_DIGITS: Final = 5


def _refused(letter: str, value: object, wanted: str) -> CelError:
    return CelError(f"format(): %{letter} takes {wanted}, not {a_type(value)}")


def _special(value: float) -> str | None:
    """What stands for a double without digits."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None


def _plain_double(value: float) -> str:
    from decimal import Decimal

    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    return _special(value) or f"{Decimal(repr(value)):f}".removesuffix(".0")


def _string(value: object, _: int = 0) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _plain_double(value)
    if isinstance(value, bytes):
        return _UNDECODED.sub("\ufffd", value.decode(errors="surrogateescape"))
    if isinstance(value, list):
        return f"[{', '.join(_string(normal(element)) for element in value)}]"
    if isinstance(value, Mapping):
        entries = sorted((_string(normal(key)), _string(normal(value[key]))) for key in value)
        return "{" + ", ".join(f"{key}: {text}" for key, text in entries) + "}"
    if isinstance(value, str | int | Timestamp | Duration | Type):
        return str(value)
    raise _refused("s", value, "strings, numbers, times, lists and maps")


def _decimal(value: object, _: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused("d", value, "numbers")
    return _plain_double(value) if isinstance(value, float) else str(value)


def _double(letter: str) -> Callable[[object, int], str]:
    def fixed(value: object, digits: int) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _refused(letter, value, "numbers")
        return _special(value) or f"{float(value):.{digits}{letter}}"

    return fixed


def _binary(value: object, _: int) -> str:
    if not isinstance(value, int):
        raise _refused("b", value, "integers and bools")
    return f"{int(value):b}"


def _octal(value: object, _: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refused("o", value, "integers")
    return f"{int(value):o}"


def _hex(value: object, _: int) -> str:
    if isinstance(value, str):
        return value.encode().hex()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool) or not isinstance(value, int | UInt):
        raise _refused("x", value, "integers, strings and bytes")
    return f"{int(value):x}"


_CLAUSES: Final[Mapping[str, Callable[[object, int], str]]] = {
    "s": _string,
    "d": _decimal,
    "f": _double("f"),
    "e": _double("e"),
    "b": _binary,
    "o": _octal,
    "x": _hex,
    "X": lambda value, digits: _hex(value, digits).upper(),
}
