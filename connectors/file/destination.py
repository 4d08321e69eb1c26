"""Where the paths of a file sink may lead."""

from __future__ import annotations

import os
import re
from pathlib import Path

from connectors.file.output import Refused

_TEMPLATE = re.compile(r"(?<!\$)\$\{")


class Destination:
    """The file, or the base folder and what may be chosen in it.

    ``path`` is the sink's setting, relative to ``folder``. Its base folder is what stands before the last ``/`` before
    the first ``${``, or the file's own folder.
    """

    def __init__(self, path: str, folder: Path) -> None:
        self._path = path
        self._folder = folder.absolute()
        template = _TEMPLATE.search(path)
        self.fixed: Path | None = None
        """The file, when the setting names one."""
        if template is None:
            self.fixed = self._folder / path.replace("$${", "${")
            self.base = self.fixed.parent
        else:
            self.base = self._folder / (path[: template.start()].rpartition("/")[0] or ("/" if path[0] == "/" else ""))

    def resolve(self, chosen: object) -> Path:
        """The file under a chosen path; None and the setting itself choose the fixed one.

        Raises Refused for a path that is empty, no text, holds a NUL, names a folder, or leads out of the base folder,
        be it by ``..``, by being absolute, or by a symbolic link.
        """
        if self.fixed is not None and (chosen is None or chosen == self._path):
            return self.fixed
        if not isinstance(chosen, str):
            raise Refused("the path is not text")
        if not chosen or "\0" in chosen:
            raise Refused(f"{chosen!r} is no path")
        if chosen.endswith(("/", "/.", "/..")) or chosen in {".", ".."}:
            raise Refused(f"{chosen!r} names a folder, not a file")
        try:
            # Path.resolve raises on a loop of links, which opening the file reports better
            real = Path(os.path.realpath(self._folder / chosen))
            base = Path(os.path.realpath(self.base))
        except UnicodeEncodeError as error:
            raise Refused(f"{chosen!r} cannot be a file's name") from error
        if real == base or not real.is_relative_to(base):
            raise Refused(f"{chosen!r} leads out of the sink's base folder {self.base}")
        return real
