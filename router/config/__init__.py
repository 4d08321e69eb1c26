"""The daemon's configuration: files in, a checked configuration out, or every fault of them at once."""

from __future__ import annotations

from router.config.inputs import Edited, Inputs, TextFile, digest
from router.config.loading import Whereabouts, load, whereabouts
from router.config.model import (
    BatchPolicy,
    Configuration,
    DeadLetterPolicy,
    Http,
    QueueBounds,
    RetryPolicy,
    SinkCommon,
    SinkSpec,
    SourceSpec,
    incoming_format,
)
from router.config.schema import json_schema
from router.config.secrets import Secrets

__all__ = [
    "BatchPolicy",
    "Configuration",
    "DeadLetterPolicy",
    "Edited",
    "Http",
    "Inputs",
    "QueueBounds",
    "RetryPolicy",
    "Secrets",
    "SinkCommon",
    "SinkSpec",
    "SourceSpec",
    "TextFile",
    "Whereabouts",
    "digest",
    "incoming_format",
    "json_schema",
    "load",
    "whereabouts",
]
