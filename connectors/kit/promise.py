"""What a check is: a promise of the contract, tried on a connector in an event loop of its own."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from router import EndOfStream, NotConnected, WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.kit.contract import Contract

NOT_PROMISED = "not promised: "
"""What the reason of each skipped check begins with."""

VOCABULARY = (NotConnected, WriteError, EndOfStream)
"""What a connector may raise."""

Body = Callable[[Any], Coroutine[Any, Any, None]]
Test = Callable[[Any], None]


class BrokenPromise(AssertionError):
    """A connector does not do what the contract says; ``right`` is what would be."""

    def __init__(self, what: str, right: str) -> None:
        super().__init__(f"{what}\n\nRight would be: {right}")
        self.what = what


class Unfit(Exception):
    """The kit cannot try this: what the test class says of its system is missing or wrong."""


def check(*cited: str, needs: Sequence[str] = ()) -> Callable[[Body], Test]:
    """Make a test of the coroutine function below: it runs alone in a new event loop, as the daemon's is.

    What the protocol says of the methods ``cited`` is added to whatever it raises. It is skipped where the test class
    says in ``cannot`` why it is not able to do what it ``needs``.
    """

    def decorate(body: Body) -> Test:
        def test(self: Contract) -> None:
            __tracebackhide__ = True
            for need in needs:
                if need in self.cannot:
                    pytest.skip(f"{NOT_PROMISED}{self.cannot[need]}")
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(_lived(self, body))
            except Exception as error:  # noqa: BLE001 - it is raised again, with what was promised
                for method in cited:
                    promise = inspect.getdoc(getattr(self.protocol, method))
                    error.add_note(f"\nrouter.{self.protocol.__name__}.{method} promises: {promise}")
                raise error.with_traceback(_inside(error.__traceback__)) from error.__cause__

        test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
        return test

    return decorate


async def _lived(contract: Contract, body: Body) -> None:
    """The check, with the system up around it, and whatever it left open closed."""
    __tracebackhide__ = True
    with turning(contract._still):  # noqa: SLF001 - the kit's own; test classes have the plain names for themselves
        await contract.start()
        try:
            await body(contract)
        except VOCABULARY as error:
            what = f"{contract.connector.__name__} raises {type(error).__name__}: {error}"
            raise BrokenPromise(what, "do what it was asked: its system is there, and was given nothing bad") from error
        finally:
            await contract._clean_up()  # noqa: SLF001


def _inside(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins with the check: what is above it says nothing of the connector."""
    while trace is not None and trace.tb_frame.f_code is not _lived.__code__:
        trace = trace.tb_next
    return trace


@contextmanager
def turning(seconds: float) -> Iterator[None]:
    """Interrupt whatever holds up the event loop for longer than this, where it does so.

    Nothing inside the loop could: a blocking call would hang the check for ever.
    """

    def expired(_number: int, _frame: object) -> None:
        raise BrokenPromise(
            f"the event loop stood still for {seconds:g} s in the call at the end of this traceback",
            "await what takes long, or make blocking calls in a thread (asyncio.to_thread): meanwhile every other "
            "connector of the daemon stands still, too",
        )

    async def wind() -> None:
        while True:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            await asyncio.sleep(seconds / 4)

    before = signal.signal(signal.SIGALRM, expired)
    winding = asyncio.create_task(wind(), name="the clock of the kit")
    try:
        yield
    finally:
        winding.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
