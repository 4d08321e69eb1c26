"""Pages by hand of which one part is made from code: what stands between two comments."""

from __future__ import annotations

from scripts.made_file import MadeFile

BEGIN = "<!-- Made from the code by `make docs`, as far as the next comment. -->"
END = "<!-- Made by hand again. -->"


def with_part(text: str, part: str) -> str:
    """A page with another part between the comments."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{rest.partition(END)[2]}"


class MadePart(MadeFile):
    """The part of ``page`` that ``make`` makes."""

    def text(self) -> str:
        """The page with it."""
        return with_part(self.page.read_text(encoding="utf-8"), self.make())
