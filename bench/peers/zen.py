"""zen-engine: rules of GoRules, in Rust. Its language is another one, so expressions are written anew for it."""

from __future__ import annotations

import sys

import zen

from bench.peers.evaluate import Predicate, serve

TEXTS = {
    'event.type == "order" && event.amount > 50.0 && event.user.plan in ["pro", "team"]': (
        'type == "order" and amount > 50.0 and user.plan in ["pro", "team"]'
    ),
    'event.type == "order"': 'type == "order"',
    'event.type == "order" && event.amount > 500.0': 'type == "order" and amount > 500.0',
    'event.user.plan in ["pro", "team"]': 'user.plan in ["pro", "team"]',
    'event.device.startsWith("sensor-")': 'startsWith(device, "sensor-")',
    'event.user.country == "de" ? event.amount > 100.0 : event.amount > 200.0': (
        'user.country == "de" ? amount > 100.0 : amount > 200.0'
    ),
    'event.tags.exists(tag, tag == "gift")': 'some(tags, # == "gift")',
    "event.missing.field == 1": "missing.field == 1",
}


def compiled(text: str) -> Predicate:
    """A predicate on an event, whose fields are the variables."""
    expression = zen.compile_expression(TEXTS[text])
    return lambda event: expression.evaluate(event) is True


if __name__ == "__main__":
    serve(compiled, sys.argv[1:])
