"""The expressions of ``bench.rules``, each with the function that somebody would write for it by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PROMISED = 'event.type == "order" && event.amount > 50.0 && event.user.plan in ["pro", "team"]'
"""The one whose cost beside the floor is promised."""

FLOORS: dict[str, Callable[[Any], bool]] = {
    PROMISED: lambda event: (
        event["type"] == "order" and event["amount"] > 50.0 and event["user"]["plan"] in ("pro", "team")
    ),
    'event.type == "order"': lambda event: event["type"] == "order",
    'event.type == "order" && event.amount > 500.0': lambda event: event["type"] == "order" and event["amount"] > 500.0,
    'event.user.plan in ["pro", "team"]': lambda event: event["user"]["plan"] in ("pro", "team"),
    'event.device.startsWith("sensor-")': lambda event: event["device"].startswith("sensor-"),
    'event.user.country == "de" ? event.amount > 100.0 : event.amount > 200.0': lambda event: (
        event["amount"] > 100.0 if event["user"]["country"] == "de" else event["amount"] > 200.0
    ),
    'event.tags.exists(tag, tag == "gift")': lambda event: any(tag == "gift" for tag in event["tags"]),
    "event.missing.field == 1": lambda event: event.get("missing", {}).get("field") == 1,
}
"""The floor of each expression. On events it answers what the expression does; an error counts as false."""
