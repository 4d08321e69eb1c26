"""Files: a source that reads or follows them, and a sink that appends to them."""

from __future__ import annotations

from connectors.file.sink import FileSink
from connectors.file.source import FileSource

__all__ = ["FileSink", "FileSource"]
