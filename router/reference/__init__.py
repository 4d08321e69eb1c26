"""What there is to know about a connector, from its code: the command and the documentation show the same."""

from __future__ import annotations

from router.reference.connector import Reference, common_settings, reference
from router.reference.markdown import cell, common, listing, section, table
from router.reference.settings import Setting, settings_of

__all__ = [
    "Reference",
    "Setting",
    "cell",
    "common",
    "common_settings",
    "listing",
    "reference",
    "section",
    "settings_of",
    "table",
]
