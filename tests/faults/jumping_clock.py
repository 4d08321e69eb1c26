"""A clock on the wall that jumps, for one process: as when somebody, or NTP, sets it."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


class CannotJump(Exception):
    """There is no C compiler here, or it cannot make the library."""


class JumpingClock:
    """Processes that have its ``environment`` see its time. Raises CannotJump."""

    def __init__(self, folder: Path) -> None:
        library = folder / "clock.so"
        try:
            command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotJump(f"a clock that jumps takes a C compiler (cc): {error}") from error
        self._file = folder / "clock"
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "SLUICEWAY_CLOCK": str(self._file)}

    def jump(self, ahead: int) -> None:
        """From now on the clock is so many seconds ahead of the right one."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(ahead.to_bytes(8, "little", signed=True))
