"""A disk so small that it can be filled: a tmpfs of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path


class CannotMount(Exception):
    """Mounting is not permitted here; it takes root."""


class SmallDisk:
    """A mounted folder of some MiB, from its making to ``close``."""

    def __init__(self, folder: Path, mib: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "sluiceway-faults", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotMount(f"mounting a tmpfs takes root: {error}") from error
        self.folder = folder
        self._ballast = folder / ".ballast"

    def fill(self) -> None:
        """Take all the room that is left."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def free(self) -> None:
        """Give the room back."""
        with contextlib.suppress(FileNotFoundError):
            self._ballast.unlink()

    def close(self) -> None:
        """Take the disk away, with what is on it."""
        if os.path.ismount(self.folder):
            subprocess.run(["umount", "-l", str(self.folder)], check=False, capture_output=True)
