"""HTTP: a source that is posted to."""

from __future__ import annotations

from connectors.http.source import HttpSource, HttpSourceConfig, Pending

__all__ = ["HttpSource", "HttpSourceConfig", "Pending"]
