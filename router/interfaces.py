"""What a connector is: the two protocols, and what passes through them.

A connector imports these from ``router`` and nothing else of it. Retry, batching, queueing, dead-lettering, metrics
and logging are the router's: a connector author writes none of them and gets all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from msgspec import Struct

from router.batch import Batch
from rules.contract import Violation


class Lag(Struct, frozen=True):
    """How far the acknowledged position of a partition is behind its end. None: not known."""

    partition: str
    records: int | None = None
    seconds: float | None = None
    bytes: int | None = None


@runtime_checkable
class Source(Protocol):
    """Where records come from.

    The class says ``Config`` (its settings, a subclass of ``Settings``), ``replays`` (whether what was not
    acknowledged is read again after the next ``open()``) and ``ack_order`` (``"read"``: acknowledgements come in the
    order of reading; ``"any"``: each as soon as it is settled). Its docstring, in Markdown, is what users are told of
    it; ``example``, a ``ClassVar[str]`` that it may have, is a part of the daemon's file that uses it.

    It may have a method ``async finish()``, for a source that has taken in what it cannot take in again: the router
    stops, so nothing new is to be taken in; ``read()`` goes on to give what is there, and then raises ``EndOfStream``.
    Without it, what is not read when the router stops is left where it is.
    """

    Config: ClassVar[type[Any]]
    replays: ClassVar[bool]
    ack_order: ClassVar[Literal["read", "any"]]

    async def open(self) -> None:
        """Connect, and begin at the last acknowledged position. Called again, with backoff, after ``NotConnected``."""

    async def read(self) -> Batch:
        """The next records, as soon as there are any, never empty.

        Raises ``EndOfStream`` at the end of all, ``NotConnected`` when the system is away. Cancelled only on the way
        to ``close()``; what a cancelled call had taken in must come again after the next ``open()``.
        """

    async def ack(self, token: Any) -> None:
        """Everything up to (``ack_order = "any"``: everything in) the batch with this token is safe elsewhere.

        Raises ``NotConnected`` when the system is away; like any failure, that ends with ``close()`` and ``open()``.
        """

    async def lag(self) -> Sequence[Lag]:
        """How far behind each partition is. May run beside ``read()``, and be cancelled when it takes long."""

    async def close(self) -> None:
        """Release everything. Idempotent; may follow a failed ``open()``."""


@runtime_checkable
class Rejects(Protocol):
    """What a source has besides if it can send records back to where they came from: ``otherwise.invalid: reject``."""

    def reject(self, token: Any, violations: Mapping[int, Sequence[Violation]]) -> Collection[int]:
        """Nothing is kept of these records of the batch, by index, because of their violations.

        Returns the indices of all that stand or fall with them (a request is taken whole or not at all), these
        included: nothing is kept of any of those either. ``ack()`` of the batch follows when the others are safe.
        """


@runtime_checkable
class Settles(Protocol):
    """What a source has besides if those who sent it one record need not wait for those that came beside it."""

    async def settle(self, token: Any, indices: Sequence[int]) -> None:
        """These records of the batch, by index, are safe elsewhere. The others follow, or ``ack()`` of the batch does;
        it may come without any call of this, and this again with the same indices when it failed."""


@runtime_checkable
class Peeks(Protocol):
    """What a source has besides if it can be read by somebody who only looks: ``sluiceway run --dry-run``."""

    def peek(self) -> str:
        """Before the first ``open()``: nothing that is read from now on will be acknowledged, and nobody else may
        notice that it is read. It begins where it would go on; the system gives nobody less for it.

        Returns why that cannot be; empty when it can.
        """


@runtime_checkable
class Sink(Protocol):
    """Where records go to. The class says ``Config`` (its settings, a subclass of ``Settings``); its docstring and an
    ``example`` are as with sources."""

    Config: ClassVar[type[Any]]

    async def open(self) -> None:
        """Connect. Called again, with backoff, after ``NotConnected``. Raises ``EndOfStream`` when it never can be."""

    async def write(self, batch: Batch) -> None:
        """Write the batch; return once it is durable.

        Raises ``WriteError`` that names the records that were not written, ``NotConnected`` when the system is away
        and while the sink is not open, ``Unavailable`` when it is there and takes nothing for now, ``EndOfStream`` when
        it never will take anything again, so that the daemon has to end. May be cancelled
        when ``timeout`` has passed; ``close()`` and ``open()`` follow.
        """

    async def close(self) -> None:
        """Release everything. Idempotent; may follow a failed ``open()``."""


Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Positions(Protocol):
    """What a source remembers across restarts: small JSON values by key, kept in the router's state folder."""

    def load(self) -> dict[str, Json]:
        """Everything saved so far."""

    async def save(self, entries: Mapping[str, Json]) -> None:
        """Remember these; None forgets the key. All of one call or nothing; survives ``kill -9`` when it returns."""
