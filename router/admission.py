"""Who may come in next: strictly first come, first served, while there is room."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from router.load import Admitted


class Admission:
    """Lets entries in, one after the other. ``has_room`` says whether there is room for one now; ``take`` takes it in,
    at once."""

    def __init__(self, has_room: Callable[[Admitted], bool], take: Callable[[Admitted], None]) -> None:
        self._has_room = has_room
        self._take = take
        self._waiting: deque[tuple[Admitted, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return len(self._waiting)

    def try_enter(self, entry: Admitted) -> bool:
        """Let an entry in, unless it would have to wait; whether it is in."""
        if self._waiting or not self._has_room(entry):
            return False
        self._take(entry)
        return True

    async def enter(self, entry: Admitted) -> None:
        """Let an entry in, after all that asked before. When cancelled while waiting, it is not let in."""
        if self.try_enter(entry):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.done() or turn.cancelled():
                self._waiting.remove((entry, turn))
                self.admit_waiting()
            raise

    def admit_waiting(self) -> None:
        """There may be room again: let in who comes next."""
        while self._waiting and self._has_room(self._waiting[0][0]):
            entry, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._take(entry)
                turn.set_result(None)
