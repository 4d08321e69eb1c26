"""HTTP: a source that is posted to, a source that asks on an interval, and a sink that posts."""

from __future__ import annotations

from connectors.http.sink import HttpSink, HttpSinkConfig
from connectors.http.source import HttpSource, HttpSourceConfig, Pending

__all__ = ["HttpSink", "HttpSinkConfig", "HttpSource", "HttpSourceConfig", "Pending"]
