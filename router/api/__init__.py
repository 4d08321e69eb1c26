"""The admin HTTP API: one module for each subject, a table of endpoints, and what is made of it."""

from __future__ import annotations

from router.api import (
    amend,
    audit,
    control,
    expressions,
    files,
    flows,
    history,
    letter_groups,
    letters,
    live,
    preview,
    samples,
    status,
)
from router.api.endpoint import Endpoint
from router.api.openapi import DOCUMENT

__all__ = ["ENDPOINTS"]

ENDPOINTS: tuple[Endpoint, ...] = (
    *status.ENDPOINTS,
    *flows.ENDPOINTS,
    *live.ENDPOINTS,
    *history.ENDPOINTS,
    *samples.ENDPOINTS,
    *letter_groups.ENDPOINTS,  # before `{id}`, which would take `groups` for one
    *letters.ENDPOINTS,
    *amend.ENDPOINTS,
    *control.ENDPOINTS,
    *expressions.ENDPOINTS,
    *files.ENDPOINTS,
    *preview.ENDPOINTS,
    *audit.ENDPOINTS,
    DOCUMENT,
)
