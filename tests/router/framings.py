"""What holds of every framing, for the tests of each."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from router.framing import Framed, Framer, Framing

CUTS = st.lists(st.integers(1, 9), max_size=60)
"""How long the chunks of a stream are; one more is what is left."""


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in chunks."""
    parts = []
    for cut in cuts:
        parts.append(data[:cut])
        data = data[cut:]
    return [part for part in [*parts, data] if part]


def feed(framer: Framer, parts: Sequence[bytes]) -> Framed:
    """All that comes out of a stream."""
    return together([*map(framer.feed, parts), framer.finish()])


def together(several: Sequence[Framed]) -> Framed:
    """What came out, one after the other."""
    whole = Framed()
    for framed in several:
        for index, value in enumerate(framed.values):
            if index in framed.spoiled:
                whole.spoil(value, framed.spoiled[index])
            else:
                whole.growing().append(value)
        whole.known = framed.known
    return whole


def restarted(framing: Framing, stream: bytes, parts: Sequence[bytes], stop: int, limit: int) -> Framed:
    """All that comes out when, after ``stop`` chunks, another framer goes on where the first one had got to."""
    first = framing.framer(limit)
    before = [first.feed(part) for part in parts[:stop]]
    second = framing.framer(limit, offset=first.offset, state=first.state)
    return together([*before, second.feed(stream[first.offset :]), second.finish()])


def whole_until(framing: Framing, data: bytes) -> int:
    """Up to where a file with this content is whole."""
    return framing.whole(lambda size, offset: data[offset : offset + size], len(data))
