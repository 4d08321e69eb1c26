"""``generate``: a synthetic stream from a template, to try out rules, to load a system, to show a dashboard."""

from __future__ import annotations

import asyncio
import json
import re
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import accumulate
from random import Random, SystemRandom
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails

from router import Batch, Constant, EndOfStream, Lag, Settings

_BLOCK = 256  # records that share a generator of random numbers: seeding one takes as long as some records
_TICK = 0.01  # seconds: at high rates, what is due is sent this often
_PER = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS = (  # noqa: SIM905 - words read better as a text
    "amber anchor apple autumn beacon birch bridge canyon cedar cloud copper coral delta ember falcon fern garden "
    "harbor hazel island ivory lantern maple meadow mirror nectar ocean olive orchard pebble prairie quartz raven "
    "river saffron shadow silver sparrow summit thunder timber tulip valley velvet walnut willow winter zephyr"
).split()


def parse_rate(value: Any) -> float | None:
    """Records per second from ``100/s``, ``5/m``, ``1/h`` or a number. Raises ValueError with examples."""
    if value is None:
        return None
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*([smhd])\s*", value)):
        value = float(found[1]) / _PER[found[2]]
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    raise ValueError(f"{value!r} should be a rate above 0 such as 100/s, 5/m or 1/h")


def _checked(template: JsonValue) -> JsonValue:
    """The template, if it can be filled in. Raises ValidationError with everything that cannot, each at its place."""
    flaws = _Templates(template).flaws
    if not flaws:
        return template
    details = [
        InitErrorDetails(type="value_error", loc=where, input=template, ctx={"error": ValueError(message)})
        for where, message in flaws
    ]
    raise ValidationError.from_exception_data("template", details)


class GenerateConfig(Settings):
    """The settings of the source ``generate``."""

    template: Annotated[JsonValue, AfterValidator(_checked)]
    """What a record is: any value, in which texts may hold placeholders. A list is several to choose from; an entry
    `{weight: 3, template: ...}` is chosen three times as often."""
    rate: Annotated[
        float | None,
        BeforeValidator(parse_rate),
        WithJsonSchema(
            {
                "type": ["string", "number", "null"],
                "pattern": r"^\s*\d+(\.\d+)?\s*/\s*[smhd]\s*$",
                "x-words": "rate",
            }
        ),
    ] = None
    """How many records, such as 100/s, 5/m or 1/h. Without it, as fast as they are taken."""
    count: Annotated[int, Field(ge=0)] | None = None
    """How many records there are in all, restarts included. Without it, no end."""
    seed: int | None = None
    """The same seed and template give the same records. Without it, one is drawn at the first start."""
    batch: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many records to make at a time at most."""


class GenerateSource:
    r"""Makes up records from a template: to try out rules, to load a system, to show a dashboard.

    **Records** are the template as JSON; a template that is one text is taken as it is. Texts of values (not of keys)
    may hold placeholders: typed when one is all of the text, text otherwise. In YAML they stand in quotes; `{{` and
    `}}` are braces.

    | placeholder | |
    |---|---|
    | `{sequence}` | the number of the record, from 0 |
    | `{int:1:100}` | an integer, both ends included |
    | `{float:0:5:2}` | a number, here with 2 decimals; without the last part, with all it has |
    | `{choice:a\|b\|c}` | one of these texts |
    | `{word}` | an English word |
    | `{bool}` | true or false |
    | `{uuid}` | a UUID of version 4, as text |
    | `{now}` | the time at which it is made, in UTC (RFC 3339, milliseconds), as text |

    **Guarantee**: at least once. A record depends on the seed and its number alone (but for `{now}`), so what was not
    acknowledged is made again as it was. A token is the number of the next record; after a restart it goes on at the
    acknowledged one. Its seed, when the settings name none, is kept too.

    **Rate**: the first record comes at once. What is due is counted from the start, so nothing drifts, and after having
    been held up it catches up.

    **Lag**: what is due (without a rate: what was made) and not acknowledged, and how long the oldest of it has been
    due.

    **Away** it never is: there is nothing to be away from.
    """

    Config: ClassVar[type[GenerateConfig]] = GenerateConfig
    example: ClassVar[str] = """
        sources:
          orders:
            type: generate
            rate: 20/s
            seed: 7
            template:
              - weight: 3
                template: {type: order, id: "o-{sequence}", amount: "{float:1:900:2}", plan: "{choice:free|pro}"}
              - {type: visit, user: "u-{int:1:50}", at: "{now}"}
    """
    replays: ClassVar[bool] = True
    ack_order: ClassVar[Literal["read", "any"]] = "read"

    def __init__(self, config: GenerateConfig) -> None:
        self.config = config
        self._templates = _Templates(config.template)
        self._positions = config.context.positions
        self._seed = 0
        self._next = self._acked = self._first = 0
        self._opened = 0.0
        self._random = Random()  # noqa: S311 - made-up data, not secrets

    def peek(self) -> str:
        """Records that are made up are missed by nobody."""
        return ""

    async def open(self) -> None:
        """Begin at the acknowledged record."""
        kept = self._positions.load()
        seed = kept.get("seed") if self.config.seed is None else self.config.seed
        self._seed = seed if isinstance(seed, int) else SystemRandom().getrandbits(63)
        sequence = kept.get("sequence")
        self._acked = self._first = sequence if isinstance(sequence, int) else 0
        if kept.get("seed") != self._seed:
            await self._positions.save({"seed": self._seed, "sequence": self._acked})
        self._next = self._acked - self._acked % _BLOCK
        self._make(self._acked - self._next)  # to bring the random numbers of the block to where they were
        self._opened = time.monotonic()

    async def read(self) -> Batch:
        """The records that are due. Raises EndOfStream after ``count``. Cancelled, it has made none."""
        if self.config.count is not None and self._next >= self.config.count:
            raise EndOfStream
        await asyncio.sleep(0)  # without a rate nothing else lets the loop turn
        while (due := self._due() - self._next) <= 0:  # noqa: ASYNC110 - it waits for time itself
            await asyncio.sleep(self._pause())
        values = self._make(min(due, self.config.batch))
        return Batch(values, token=self._next, times=Constant(time.time_ns(), len(values)))

    async def ack(self, token: Any) -> None:
        """Remember that everything before this record is safe."""
        await self._positions.save({"sequence": token})
        self._acked = token

    async def lag(self) -> Sequence[Lag]:
        """What is due and not acknowledged."""
        records = self._due() - self._acked if self.config.rate else self._next - self._acked
        seconds = None
        if self.config.rate:
            oldest = self._opened + (self._acked - self._first) / self.config.rate
            seconds = max(0.0, time.monotonic() - oldest) if records else 0.0
        return [Lag("0", records=records, seconds=seconds)]

    async def close(self) -> None:
        """Nothing to release."""

    def _due(self) -> int:
        """The number of the record before which all are due by now."""
        due = self._next + self.config.batch
        if self.config.rate is not None:
            due = self._first + 1 + int((time.monotonic() - self._opened) * self.config.rate)
        return due if self.config.count is None else min(due, self.config.count)

    def _pause(self) -> float:
        assert self.config.rate is not None  # noqa: S101 - without a rate something is always due
        at = self._opened + (self._next - self._first) / self.config.rate
        return max(at - time.monotonic(), _TICK)

    def _make(self, records: int) -> list[bytes]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        draw = _Draw(self._random, now)
        values = []
        for sequence in range(self._next, self._next + records):
            if not sequence % _BLOCK:
                self._random.seed(f"{self._seed}/{sequence}")
            draw.sequence = sequence
            values.append(self._templates.render(draw))
        self._next += records
        return values


class _Draw:
    """What a placeholder is filled in from."""

    __slots__ = ("bits", "now", "random", "sequence")

    def __init__(self, source: Random, now: str) -> None:
        self.random = source.random
        self.bits = source.getrandbits
        self.now = now
        self.sequence = 0


Hole = Callable[[_Draw], object]


class _Placeholder(Struct, frozen=True):
    """``fill`` gives what stands in its place, already fit for JSON; ``text`` says whether it needs quotes there."""

    fill: Hole
    text: bool = False


_Quote = Callable[[str], str]
_Maker = Callable[[str, _Quote], _Placeholder]


_Where = tuple[str | int, ...]
"""Where something stands in the template: the keys and indices that lead to it."""


class _Template:
    """A value as a format with holes, so that a record costs one ``%`` and a call for each placeholder.

    What is wrong with it is added to ``flaws``.
    """

    def __init__(self, template: JsonValue, where: _Where, flaws: list[tuple[_Where, str]]) -> None:
        self._holes: list[Hole] = []
        self._flaws = flaws
        if isinstance(template, str):
            self._format = self._join(self._parts(template, where, str))
        else:
            self._format = self._json(template, where)

    def render(self, draw: _Draw) -> bytes:
        return (self._format % tuple([hole(draw) for hole in self._holes])).encode()

    def _json(self, value: JsonValue, where: _Where) -> str:
        if isinstance(value, str):
            parts = self._parts(value, where, _escape)
            alone = parts[0] if len(parts) == 1 else None
            text = self._join(parts)
            return text if isinstance(alone, _Placeholder) and not alone.text else f'"{text}"'
        if isinstance(value, dict):
            if (only := _unquoted(value)) is not None:
                self._flaws.append((where, f"{{{only}}} should stand in quotes: YAML takes it for a map"))
            entries = [f'"{_literal(_escape(key))}":{self._json(inner, (*where, key))}' for key, inner in value.items()]
            return "{" + ",".join(entries) + "}"
        if isinstance(value, list):
            return "[" + ",".join(self._json(inner, (*where, at)) for at, inner in enumerate(value)) + "]"
        return json.dumps(value, allow_nan=False)

    def _parts(self, text: str, where: _Where, quote: _Quote) -> list[str | _Placeholder]:
        try:
            text.encode()
            return list(_parts(text, quote))
        except ValueError as error:
            self._flaws.append((where, str(error)))
            return []

    def _join(self, parts: Iterable[str | _Placeholder]) -> str:
        joined = ""
        for part in parts:
            if isinstance(part, str):
                joined += _literal(part)
            else:
                joined += "%s"
                self._holes.append(part.fill)
        return joined


class _Templates:
    """One template or several to choose from by weight. ``flaws`` are what is wrong with them, and where."""

    def __init__(self, template: JsonValue) -> None:
        self.flaws: list[tuple[_Where, str]] = []
        several = isinstance(template, list)
        entries = template if isinstance(template, list) else [template]
        if not entries:
            self.flaws.append(((), "an empty list of templates makes no records"))
        weighted = [self._weighted(entry, (at,) if several else ()) for at, entry in enumerate(entries)]
        self._templates = [_Template(entry, where, self.flaws) for _, entry, where in weighted]
        self._bounds = list(accumulate(weight for weight, _, _ in weighted))
        self.render: Callable[[_Draw], bytes] = self._choose
        if len(self._templates) == 1:
            self.render = self._templates[0].render

    def _choose(self, draw: _Draw) -> bytes:
        at = bisect(self._bounds, draw.random() * self._bounds[-1])
        return self._templates[min(at, len(self._templates) - 1)].render(draw)

    def _weighted(self, entry: JsonValue, where: _Where) -> tuple[float, JsonValue, _Where]:
        """Weight, template, and where that stands."""
        if not (isinstance(entry, dict) and entry.keys() == {"weight", "template"}):
            return 1.0, entry, where
        weight = entry["weight"]
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float("inf"):
            self.flaws.append(((*where, "weight"), "should be a number above 0"))
            weight = 1
        return float(weight), entry["template"], (*where, "template")


_TOKEN = re.compile(r"(\{\{)|(\}\})|\{([^{}]*)\}|([{}])")


def _parts(text: str, quote: _Quote) -> Iterator[str | _Placeholder]:
    """A text as the literal parts (quoted) and placeholders it consists of."""
    at = 0
    for token in _TOKEN.finditer(text):
        if token.start() > at:
            yield quote(text[at : token.start()])
        at = token.end()
        if token[4]:
            raise ValueError(f"a single {token[4]!r}; a brace is written {token[4] * 2!r}")
        yield token[0][0] if token[1] or token[2] else _placeholder(token[3], quote)
    if at < len(text):
        yield quote(text[at:])


def _placeholder(inside: str, quote: _Quote) -> _Placeholder:
    name, _, arguments = inside.partition(":")
    maker = _MAKERS.get(name)
    if maker is None:
        near = get_close_matches(name, _MAKERS, 1)
        hint = f"did you mean {{{near[0]}}}?" if near else f"there are {', '.join(f'{{{n}}}' for n in _MAKERS)}"
        raise ValueError(f"{{{inside}}} is no placeholder; {hint} (braces themselves are written {{{{ and }}}})")
    try:
        return maker(arguments, quote)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{{{inside}}} {error}") from error


def _unquoted(value: dict[str, JsonValue]) -> str | None:
    """``a: {word}`` is, in YAML, a map with the key ``word``: hardly ever what was meant."""
    only = next(iter(value.items()), ("", 0)) if len(value) == 1 else ("", 0)
    return only[0] if only[1] is None and only[0].partition(":")[0] in _MAKERS else None


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _escape(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _numbers(arguments: str, kind: Callable[[str], Any], wanted: str) -> list[Any]:
    try:
        low, high = numbers = list(map(kind, arguments.split(":")))
    except ValueError:
        raise ValueError(f"is not {wanted}") from None
    if not low <= high or high - low == float("inf"):
        raise ValueError("should have two finite numbers, the second no lower than the first")
    return numbers


def _make_int(arguments: str, _: _Quote) -> _Placeholder:
    low, high = _numbers(arguments, int, "written like {int:1:100}")
    span = high - low + 1
    if span < 1 << 52:
        return _Placeholder(lambda draw: low + int(draw.random() * span))
    bits = span.bit_length() + 64  # so many that the remainder favours no number noticeably
    return _Placeholder(lambda draw: low + draw.bits(bits) % span)


def _make_float(arguments: str, _: _Quote) -> _Placeholder:
    *bounds, digits = arguments.split(":") if arguments.count(":") > 1 else [arguments, ""]
    low, high = _numbers(":".join(bounds), float, "written like {float:0:500} or {float:0:500:2}")
    span = high - low
    if not digits:
        return _Placeholder(lambda draw: repr(low + draw.random() * span))
    if not (digits.isdecimal() and int(digits) <= 17):
        raise ValueError("should have from 0 to 17 decimals")
    form = f"%.{int(digits)}f"
    return _Placeholder(lambda draw: form % (low + draw.random() * span))


def _make_choice(arguments: str, quote: _Quote) -> _Placeholder:
    choices = [quote(choice) for choice in arguments.split("|")]
    number = len(choices)
    return _Placeholder(lambda draw: choices[int(draw.random() * number)], text=True)


def _uuid(draw: _Draw) -> str:
    digits = f"{draw.bits(128) & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62:032x}"  # RFC 9562, 5.4
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _plain(placeholder: _Placeholder) -> _Maker:
    def make(arguments: str, _: _Quote) -> _Placeholder:
        if arguments:
            raise ValueError("takes nothing after its name")
        return placeholder

    return make


_MAKERS: dict[str, _Maker] = {
    "sequence": _plain(_Placeholder(lambda draw: draw.sequence)),
    "int": _make_int,
    "float": _make_float,
    "choice": _make_choice,
    "word": _plain(_Placeholder(lambda draw: _WORDS[int(draw.random() * len(_WORDS))], text=True)),
    "bool": _plain(_Placeholder(lambda draw: "true" if draw.random() < 0.5 else "false")),
    "uuid": _plain(_Placeholder(_uuid, text=True)),
    "now": _plain(_Placeholder(lambda draw: draw.now, text=True)),
}
