"""The few errors that pass between a connector and the router. Each carries what the router needs to act on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class SluicewayError(Exception):
    """Anything that the router itself says went wrong."""


class NotConnected(SluicewayError):
    """The system is away. The router opens the connector again, with backoff, for as long as it takes.

    From ``Sink.write``, ``unwritten`` names the records of the batch, by index, that were not written, where the sink
    knows: all others are durable and are not written again. None: nothing is known to be written. ``refused`` are
    records that never can be written, by index, with the reason: dead letters at once. ``answered``: the system itself
    has said that it fails, which may pass: it is given ``retry.attempts`` before a record is suspected to be the cause.
    """

    def __init__(
        self,
        *args: object,
        unwritten: Collection[int] | None = None,
        refused: Mapping[int, str] | None = None,
        answered: bool = False,
    ) -> None:
        super().__init__(*args)
        self.unwritten = unwritten
        self.refused = refused or {}
        self.answered = answered


class Unavailable(NotConnected):
    """The system is there and takes nothing for now, through no fault of any record: it is overloaded, or says when
    to come again.

    From ``Sink.write``: what is unwritten is written again, through the same connection, after ``after`` seconds at
    least. It costs the records neither attempts nor, however often it happens, their place in the queue.
    """

    def __init__(
        self,
        *args: object,
        after: float = 0.0,
        unwritten: Collection[int] | None = None,
        refused: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(*args, unwritten=unwritten, refused=refused)
        self.after = after


class EndOfStream(SluicewayError):
    """A source has no more records and never will have.

    From ``Sink.open`` and ``Sink.write``: nothing can be delivered any more, as long as the process lives. Nothing of
    the batch counts as written. The daemon then stops reading, delivers to all other sinks what they are to get, and
    ends with a failure; what the sink did not get is not acknowledged.
    """


class WriteError(SluicewayError):
    """Some records of a batch were not written; all others are durable.

    ``failed`` maps an index in the batch to the reason. Retryable ones (``retryable`` is true, or holds the index) are
    written again, alone, up to ``retry.attempts`` times; the others are dead letters at once. A sink that keeps order
    reports as failed whatever follows a record with the same key that is to be written again.
    """

    def __init__(self, failed: Mapping[int, str], *, retryable: bool | Collection[int]) -> None:
        first = next(iter(failed.values()), "no reason given")
        super().__init__(f"{len(failed)} record(s) not written: {first}")
        self.failed = dict(failed)
        self.retryable = retryable

    def is_retryable(self, index: int) -> bool:
        """Whether a failed record is to be written again."""
        return self.retryable if isinstance(self.retryable, bool) else index in self.retryable


class StateError(SluicewayError):
    """The state folder cannot be read or written, or belongs to another instance."""
