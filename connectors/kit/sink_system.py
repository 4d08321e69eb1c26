"""What a test class says of the system behind a sink, and how checks work with both."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from connectors.kit.contract import Contract
from connectors.kit.promise import BrokenPromise, Unfit
from router import Batch, Sink

DURABLE = "return when the records are durable, or raise NotConnected or WriteError"


class SinkSystem(Contract):
    """The base of ``SinkContract``: what a test class may say, beside what ``Contract`` asks."""

    protocol = Sink
    abilities: ClassVar[Mapping[str, str]] = {
        "be away": "the system cannot be away when the sink opens",
        "go away": "the system cannot go away under an open sink",
        "refuse": "there is no record that the system refuses",
    }
    impossible: ClassVar[bytes | None] = None
    """A payload that the sink or its system refuses for good, while it takes others."""
    choices: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """For each setting that a delivery may choose, two values, neither of them what ``config`` says: ``{"path":
    ["a.txt", "b.txt"]}``. A ``key`` is bytes, ``headers`` are pairs of a name and bytes."""
    traceless: ClassVar[Mapping[str, str]] = {}
    """Settings that a delivery may choose and that leave no trace in the system, each with the reason."""

    async def written(self, **chosen: Any) -> Sequence[bytes]:
        """What is durable in the system now, in order, seen by somebody else than the sink.

        With a setting, only what was written with this value of it (``path="a.txt"``). Without, everything; of a sink
        that writes to several places, what is in the one that ``config`` names.
        """
        raise Unfit(f"{type(self).__name__} should write written(**{chosen}): what is in the system")

    # What checks use

    async def _opened(self) -> Any:
        """An open sink."""
        __tracebackhide__ = True
        sink = self._new()
        await self._open(sink)
        return sink

    async def _write(self, sink: Any, batch: Batch | Sequence[bytes]) -> None:
        """Write a batch, or these payloads. Raises what ``write()`` does, BrokenPromise if that takes too long."""
        __tracebackhide__ = True
        batch = batch if isinstance(batch, Batch) else Batch(list(batch))
        await self._within("write()", sink.write(batch), DURABLE)

    async def _holds(self, values: Sequence[bytes], *, once: bool = True) -> None:
        """These records are in the system, in order; unless ``once``, some perhaps more than once."""
        __tracebackhide__ = True
        found = list(await self.written())
        if not once:
            found = list(dict.fromkeys(found))
        there = set(found)
        missing = [value for value in values if value not in there]
        if missing:
            raise BrokenPromise(
                f"{len(missing)} of {len(values)} records are not there when {self._name}.write() has returned: "
                f"{missing[0]!r:.100}",
                DURABLE,
            )
        if found != list(values):
            at = next((i for i, (a, b) in enumerate(zip(found, values, strict=False)) if a != b), len(values))
            raise BrokenPromise(
                f"{self._name} has written {len(found)} records for {len(values)}; record {at} is {found[at]!r:.100}",
                "every record once, as it is, in order",
            )

    async def _use(self, connector: Any) -> None:
        """Write a record."""
        with contextlib.suppress(Exception):  # what is wrong with write() is for its own checks to say
            await self._write(connector, [self.payload(0)])
