"""What tests of the data path share beside ``router.testing``: the misfortunes of a sink."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from connectors.memory import refuse
from router.batch import Batch
from router.errors import NotConnected


def fate_of(fates: Sequence[str]) -> Callable[[Batch], None]:
    """What happens to a sink's writes, one after the other: ok, down, crash, retry (the last record) or refuse (the
    first one); ok when the list is at its end."""
    script = iter(fates)

    def fate(batch: Batch) -> None:
        match next(script, "ok"):
            case "down":
                raise NotConnected("down")
            case "crash":
                raise RuntimeError("crash")
            case "retry":
                refuse(batch, batch.values[-1], retryable=True)
            case "refuse":
                refuse(batch, batch.values[0])

    return fate
