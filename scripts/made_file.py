"""Files that are made from others as a whole, and looked at with ``--check``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.environment import ROOT


@dataclass(frozen=True)
class MadeFile:
    """The file ``page``, which ``make`` makes from ``source``, by a script of the name ``script``."""

    page: Path
    make: Callable[[], str]
    script: str
    source: str = "the code"

    def text(self) -> str:
        """What belongs into it."""
        return self.make()

    def is_stale(self) -> bool:
        """Whether that is not what stands there."""
        return not self.page.exists() or self.page.read_text(encoding="utf-8") != self.text()

    def main(self, arguments: list[str]) -> None:
        """Write it, or with ``--check`` see that there is nothing to write."""
        shown = self.page.relative_to(ROOT)
        if arguments not in ([], ["--check"]):
            sys.exit(f"usage: python -m scripts.{self.script} [--check]")
        if not self.is_stale():
            return
        if arguments:
            sys.exit(f"{shown}: not what {self.source} says; run `make docs`")
        self.page.write_text(self.text(), encoding="utf-8")
        print(shown)
