"""Names and filters of topics (MQTT 5, section 4.7), and shared subscriptions (4.8.2)."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

LONGEST_TEXT: Final = 65_535


def checked_text(value: str) -> str:
    """A text that MQTT can carry (MQTT 5, section 1.5.4). Raises ValueError."""
    if "\0" in value:
        raise ValueError("it holds a NUL character")
    if len(value.encode()) > LONGEST_TEXT:
        raise ValueError(f"it is longer than {LONGEST_TEXT} bytes")
    return value


def checked_name(topic: str) -> str:
    """A topic that can be published to. Raises ValueError, which says what would be right."""
    if not topic:
        raise ValueError("topic should not be empty")
    if "+" in topic or "#" in topic:
        raise ValueError(f"topic should hold no wildcard, and {topic[:200]!r} does")
    return _carried(topic)


def checked_filter(topic: str) -> str:
    """A filter that can be subscribed to. Raises ValueError, which says what would be right."""
    levels = topic.split("/")
    if levels[0] == "$share":
        if len(levels) < 3 or not levels[1] or not any(levels[2:]) or "+" in levels[1] or "#" in levels[1]:
            raise ValueError("topic should be $share/GROUP/FILTER, such as $share/router/sensors/#")
        levels = levels[2:]
    if levels == [""]:
        raise ValueError("topic should not be empty")
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        raise ValueError("topic should have + and # alone between slashes, such as sensors/+/temperature")
    if "#" in levels[:-1]:
        raise ValueError("topic should have # at its end alone, such as sensors/#")
    return _carried(topic)


def is_shared(topic: str) -> bool:
    """Whether the messages of a filter are shared among all who subscribe to it."""
    return topic.startswith("$share/")


def _carried(topic: str) -> str:
    try:
        return checked_text(topic)
    except ValueError as error:
        raise ValueError(f"topic should be text that MQTT can carry: {error}") from error


TopicName = Annotated[str, Field(min_length=1), AfterValidator(checked_name)]
TopicFilter = Annotated[str, Field(min_length=1), AfterValidator(checked_filter)]
