"""What can go wrong with an expression: in its text, and while it is evaluated."""

from __future__ import annotations


class CelError(Exception):
    """An expression that cannot be compiled, or whose evaluation ended in an error value."""


class CelSyntaxError(CelError):
    """A text that is not a CEL expression.

    ``line`` and ``column`` are 1-based and point at the first character at fault, ``offset`` is the same place as a
    0-based index into the text, ``message`` says what is wrong and what would be right. ``length`` is the number of
    characters at fault (0 when unknown, as at the end of the text).

    The error that is raised is the first one in the text. ``others`` are what else is wrong with it, in the order of
    their places, as far as that does not just follow from another fault. ``uses`` are the variables that the expression
    would read, each with the offset of every place where it would.
    """

    def __init__(self, message: str, *, line: int, column: int, offset: int, length: int = 0) -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message = message
        self.line = line
        self.column = column
        self.offset = offset
        self.length = length
        self.others: tuple[CelSyntaxError, ...] = ()
        self.uses: tuple[tuple[str, int], ...] = ()

    @property
    def faults(self) -> tuple[CelSyntaxError, ...]:
        """Everything that is wrong with the text: this and the others."""
        return (self, *self.others)


class CelMissing(CelError):
    """A selection (``.f``, ``["f"]``, ``[i]``) that found nothing.

    An absent key, an index past the end, a field of null or of a value without fields. A ``when`` that meets it does
    not match; everything else treats it as the error that it is.
    """


def worse(first: CelError | None, second: CelError) -> CelError:
    """Of two failures the one to raise: an error outweighs a missing, otherwise the first."""
    if first is None or (isinstance(first, CelMissing) and not isinstance(second, CelMissing)):
        return second
    return first
