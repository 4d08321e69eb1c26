"""The words of findings, and which name was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rules.inference.kinds import NUMBERS, Scalar, Type, describe, is_within, strings
from rules.inference.operands import bounds
from rules.suggest import did_you_mean

_SHOWN: Final = 60
_SHORT, _LONG = 4, 7
"""Names shorter than the first are not taken for misspelt ones; longer than the second, two letters may be wrong."""


def shown(text: str) -> str:
    """A part of an expression as a message shows it."""
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN else plain[: _SHOWN - 3] + "..."


def differing(one: str, left: Type, other: str, right: Type) -> tuple[str, str]:
    """Why two values are never equal, and what would be right."""
    if not left.kinds.isdisjoint(right.kinds) or left.kinds | right.kinds <= frozenset(NUMBERS):
        return _unlike(one, left, other, right)
    return f"`{one}` is {describe(left)}, and {_named(other)} is {describe(right)}", as_number(left, right)


def _unlike(one: str, left: Type, other: str, right: Type) -> tuple[str, str]:
    if len(list(strings(left))) == 1 < len(list(strings(right))):
        one, left, other, right = other, right, one, left
    known, wanted = list(strings(left)), list(strings(right))
    if known and len(wanted) == 1:
        return f"`{one}` is never {wanted[0]!r}", did_you_mean(wanted[0], known)
    if whole := _whole(one, left, other, right) or _whole(other, right, one, left):
        return whole, ""
    if left.scalar("string").lower != right.scalar("string").lower:
        lower, capital = (one, wanted) if left.scalar("string").lower else (other, known)
        hint = f"should be `{capital[0].lower()!r}`" if len(capital) == 1 else ""
        return f"{_named(lower)} is in lower case", hint
    if left.kinds == right.kinds == {"string"}:
        return _lengths(one, left, other, right), f"known: {', '.join(known)}" if known else ""
    return ordered(one, left, other, right), f"known: {', '.join(known)}" if known else ""


def _whole(one: str, left: Type, other: str, right: Type) -> str:
    """That a whole number is none with a fraction, where that is all that tells two numbers apart."""
    values = bounds(right).values
    if not bounds(left).whole or not values or any(isinstance(value, float) and not value % 1 for value in values):
        return ""
    fits = all(is_within(value, bounds(left)) for value in values)
    return f"`{one}` is a whole number, and {_named(other)} is not" if fits else ""


def _lengths(one: str, left: Type, other: str, right: Type) -> str:
    """How long two texts are that have no length in common."""
    if list(strings(left)):
        one, left, other, right = other, right, one, left
    what, wanted = _said(left.scalar("string")), _said(right.scalar("string"))
    if not what or not wanted:
        return f"`{one}` and `{other}` have nothing in common"
    return f"`{one}` is {what} characters long, and {_named(other)} is {wanted}"


def _named(other: str) -> str:
    return other if other.startswith("each ") else f"`{other}`"


def as_number(left: Type, right: Type) -> str:
    """What would be right where a text says a number, and a number stands beside it."""
    text = _number(left) or _number(right)
    return f"should be `{text}`" if text and not (left.kinds | right.kinds).isdisjoint(NUMBERS) else ""


def _number(known: Type) -> str:
    """The number that a text says, where one is all that it can be."""
    texts = list(strings(known))
    if len(texts) != 1 or known.kinds != {"string"}:
        return ""
    try:
        float(texts[0])
    except ValueError:
        return ""
    return texts[0]


def ordered(one: str, left: Type, other: str, right: Type) -> str:
    """Between which bounds two numbers lie."""
    both = ((one, _bounds(left)), (other, _bounds(right)))
    parts = [f"`{name}` is {said}" for name, said in both if said and said != name]
    return ", and ".join(parts) or f"`{one}` and `{other}` have nothing in common"


def _bounds(known: Type) -> str:
    return _said(bounds(known))


def _said(part: Scalar) -> str:
    low, high = part.low, part.high
    if low is not None and low == high:
        return f"{low}"
    if None not in (low, high) and not part.over and not part.under:
        return f"between {low} and {high}"
    least = "" if low is None else f"{'more than' if part.over else 'at least'} {low}"
    most = "" if high is None else f"{'less than' if part.under else 'at most'} {high}"
    return " and ".join(filter(None, (least, most)))


def likely(name: str, known: Iterable[str]) -> str | None:
    """The known name of which this one is probably a misspelling: almost all of its letters are the same."""
    plain = _plain(name)
    for other in known:
        if _plain(other) == plain:
            return other
    near = [(distance, other) for other in known if (distance := _distance(plain, _plain(other))) is not None]
    return min(near)[1] if near else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _distance(name: str, other: str) -> int | None:
    """How many letters are wrong, left out, put in or exchanged with their neighbour; None where they are too many, or
    where what differs is a number."""
    allowed = 0 if len(name) < _SHORT else 1 if len(name) <= _LONG else 2
    if abs(len(name) - len(other)) > allowed or len(other) < _SHORT:
        return None
    if name.translate(_NO_DIGITS) == other.translate(_NO_DIGITS):
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(name, 1):
        earlier, before, row = before, row, [at]
        for place, its in enumerate(other, 1):
            cost = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (letter != its))
            if at > 1 and place > 1 and letter == other[place - 2] and name[at - 2] == its:
                cost = min(cost, earlier[place - 2] + 1)
            row.append(cost)
    return row[-1] if row[-1] <= allowed else None


_NO_DIGITS: Final = {ord(digit): None for digit in "0123456789"}
