"""What can listen to the exact interpreter, so that what it did with a record can be told afterwards.

The interpreter tells its watch every step in the order in which it happens. The watch of production hears nothing; that
of an explanation keeps it all. Neither changes what is decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from rules.cel.evaluator import Around, Run
from rules.cel.nodes import Node
from rules.contract import Violation
from rules.decisions import Because, Dispatch
from rules.flow import Expr


class Watch:
    """One that hears nothing: override what is of interest."""

    @property
    def around(self) -> Around | None:
        """What is put around the closure of every node of an expression."""
        return None

    def expression(self, expr: Expr, node: Node, run: Run) -> Run:  # noqa: ARG002 - for those who listen
        """What is put around ``run``, which evaluates a whole expression, of which ``node`` is the resolved tree."""
        return run

    def decoded(self, event: object) -> None:
        """The payload is this event."""

    def validated(self, violations: Sequence[Violation]) -> None:
        """The event was held against the schema or the model of the contract."""

    def checked(self, name: str, violation: Violation | None) -> None:
        """An expectation was looked at: one of the contract, or, after ``rule``, of that rule."""

    def rule(self, number: int) -> None:
        """A rule is reached. Until the next rule or ending, everything is about it."""

    def missed(self) -> None:
        """Its ``when`` met a missing field."""

    def gate(self, result: str) -> None:
        """Its next gate did this with the record (one of ``RESULTS``); the key's evaluation, if any, came before."""

    def matched(self) -> None:
        """It matches, its expectations hold or are let pass, and so do its gates, or they say where the record goes."""

    def element(self, element: object) -> None:
        """What ``split`` makes of this element is shaped next."""

    def shaped(self, before: object, after: object, *, anew: bool) -> None:
        """A shape was applied: that of the rule, or after ``target`` that of the target. ``anew``: by ``emit``."""

    def target(self, sink: str) -> None:
        """A delivery to this sink is made next. With ``split``, there is one for each element, in order."""

    def sent(self, dispatch: Dispatch) -> None:
        """The delivery was made, as the dispatch says."""

    def ended(self, to: str, because: Because | None = None) -> None:
        """The record ends without a delivery: ``to`` is ``drop``, or ``dead_letter`` or ``reject`` with its reason."""

    def ending(self, name: str, because: Because) -> None:
        """A part of ``otherwise`` (``otherwise.error``) decides about the record, and why it does."""

    def undone(self, error: Exception) -> None:
        """What is being done failed, or an expectation of a rule is not met: no delivery so far is made."""


UNWATCHED = Watch()
