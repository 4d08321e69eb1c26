"""The few errors that pass between a connector and the router. Each carries what the router needs to act on it."""

from __future__ import annotations

from collections.abc import Mapping


class SluicewayError(Exception):
    """Anything that the router itself says went wrong."""


class NotConnected(SluicewayError):
    """The system is away. The router opens the connector again, with backoff, for as long as it takes."""


class EndOfStream(SluicewayError):
    """A source has no more records and never will have."""


class WriteError(SluicewayError):
    """Some records of a batch were not written; all others are durable.

    ``failed`` maps an index in the batch to the reason. Retryable ones are written again, alone, up to
    ``retry.attempts`` times; the others are dead letters at once. A sink that keeps order reports as failed whatever
    follows a failed record with the same key.
    """

    def __init__(self, failed: Mapping[int, str], *, retryable: bool) -> None:
        first = next(iter(failed.values()), "no reason given")
        super().__init__(f"{len(failed)} record(s) not written: {first}")
        self.failed = dict(failed)
        self.retryable = retryable


class StateError(SluicewayError):
    """The state folder cannot be read or written, or belongs to another instance."""
