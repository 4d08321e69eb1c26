"""Pages by hand of which one part is made from code: what stands between two comments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.environment import ROOT

BEGIN = "<!-- Made from the code by `make docs`, as far as the next comment. -->"
END = "<!-- Made by hand again. -->"


def with_part(text: str, part: str) -> str:
    """A page with another part between the comments."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{rest.partition(END)[2]}"


@dataclass(frozen=True, slots=True)
class MadePart:
    """The part of ``page`` that ``make`` makes, by a script of the name ``script``."""

    page: Path
    make: Callable[[], str]
    script: str

    def is_stale(self) -> bool:
        """Whether the page is not what the code gives."""
        text = self.page.read_text(encoding="utf-8")
        return with_part(text, self.make()) != text

    def main(self, arguments: list[str]) -> None:
        """Write the part, or with ``--check`` see that there is nothing to write."""
        shown = self.page.relative_to(ROOT)
        if arguments not in ([], ["--check"]):
            sys.exit(f"usage: python -m scripts.{self.script} [--check]")
        if not self.is_stale():
            return
        if arguments:
            sys.exit(f"{shown}: not what the code says; run `make docs`")
        self.page.write_text(with_part(self.page.read_text(encoding="utf-8"), self.make()), encoding="utf-8")
        print(shown)
