"""What may be shown of records: all but what contracts mark as sensitive, and what is made of it.

Whoever shows a record to somebody else than the owner of the state folder goes through here. Of a flow with sensitive
fields, a payload is shown as the event that it is, with ``***`` in the place of each of them; one that cannot be
decoded is not shown, since it cannot be told where in it they are, nor is what was to go out.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from router.batch import Batch
from router.config import Configuration, SinkSpec
from router.config.secrets import MASK
from router.fate import Fate, Loss
from router.hidden_texts import hidden_texts, texts_in, within, without, without_words
from router.letter import Letter, as_json, batch_of, plain
from router.letter_filter import BadChoice
from router.moves import NAME as MOVED
from router.pace import SLICE_SECONDS
from router.part import Part
from router.sampling import End, Sampled
from rules.cel import Expression
from rules.cel.errors import CelError
from rules.cel.output import to_json
from rules.codecs import Format
from rules.codecs import Json as JsonFormat
from rules.flow import DEAD_LETTER, DROP, ENDS, Flow
from rules.plan import SinkFacts
from rules.sensitive import HIDDEN, NOTHING, Sensitive, hidden_settings, sensitive_of

Json = dict[str, Any]


class _Known(Struct, frozen=True):
    """What is known of a flow: what is sensitive in it, and the settings, by sink, that are made of that."""

    sensitive: Sensitive
    settings: Mapping[str, frozenset[str]]


class Redaction:
    """Shows records of a configuration's flows."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._flows = {flow.name: flow for flow in configuration.flows}
        self._known: dict[str, _Known] = {}

    def is_of(self, configuration: Configuration) -> bool:
        """Whether it is this configuration whose records are shown."""
        return configuration is self._configuration

    def refuse_probes(self, condition: Expression | None, name: str, flow: str | None = None) -> None:
        """A condition that reads what must not be shown would tell it by what it takes: raises BadChoice, for the
        parameter ``name``, if it does so in this flow, or in any."""
        for known in [self._flows[flow]] if flow in self._flows else self._flows.values():
            if condition is not None and self._of(known).sensitive.derives(condition.node):
                raise BadChoice(name, f"it reads what the contract of the flow {known.name} marks as sensitive")

    def hides_in(self, flow: str) -> bool:
        """Whether something in records of a flow must not be shown; of one that is no more, it is not known."""
        known = self._flows.get(flow)
        return known is None or bool(self._of(known).sensitive)

    def letter(self, letter: Letter) -> Json:
        """A dead letter as JSON values: those of ``router.letter.as_json``, and its ``size``. Of a flow that is no more
        it is not known what is sensitive: neither the record nor what was to go out is shown."""
        shown: Json = {**as_json(letter), "size": len(letter.value)}
        flow = self._flows.get(letter.flow)
        if flow is None:
            hidden = dict.fromkeys(("value", "out_value"))
            names = ("key", "out_key", "detail")
            masked = {name: MASK for name in names if shown[name] is not None}
            empty: Json = {"headers": None, "out_headers": None, "attributes": {}, "out_settings": {}}
            return shown | hidden | masked | empty | _without_original(shown)
        known = self._of(flow)
        return self._shown_letter(shown, letter, known) if known.sensitive else shown

    def detail(self, letter: Letter) -> str:
        """What exactly went wrong with a letter, as far as it may be shown: what a sink said of a delivery may name
        what is sensitive."""
        flow = self._flows.get(letter.flow)
        if flow is None and letter.flow == MOVED:  # what became of a letter that was to be moved to a sink
            is_hidden = self.hides_in(_flow_within(letter.value))
            return without_words(letter.value, letter.detail) if is_hidden else letter.detail
        if flow is None:
            return MASK if letter.detail else ""
        known = self._of(flow)
        if not (known.sensitive and letter.detail):
            return letter.detail
        texts = self._texts(letter, known)
        if texts is None:
            return without_words(letter.value, letter.detail) if letter.stage == "sink" else letter.detail
        return without(within(texts, letter.detail), letter.detail)

    async def said(self, said: Sequence[str], sink: str, records: Iterable[tuple[Part, int]]) -> list[str]:
        """What a sink said of a write of these records, as far as it may be shown: it may name what is sensitive in any
        of them."""
        hidden, begun, every = set[str](), time.monotonic(), "\n".join(said)
        for part, position in records if every else ():
            if not self.hides_in(_flow_of(part, position)):
                continue
            letter = part.letter(position, sink=sink, reason="", detail="", attempts=1)
            flow = self._flows.get(letter.flow)
            texts = None if flow is None else self._texts(letter, self._of(flow))
            if texts is None:
                said = [without_words(letter.value, text) for text in said]
            else:
                hidden |= within(texts, every)
            if time.monotonic() - begun > SLICE_SECONDS:
                await asyncio.sleep(0)
                begun = time.monotonic()
        return [without(hidden, text) for text in said]

    def sampled(self, sampled: Sampled, *, outgoing: bool = False) -> Json:
        """A sampled record as JSON values: what it is, where it came from, and its ``ends``; with ``outgoing``, each
        with what goes out there, unless something in the flow is sensitive."""
        flow = self._flows.get(sampled.flow)
        known = _Known(NOTHING, {}) if flow is None else self._of(flow)
        batch, event = sampled.batch, None
        texts: list[str] | None = []
        if sampled.is_whole and flow is not None:
            event = self._event(sampled.decode, batch, known.sensitive)
            texts = _record_texts(sampled.decode, batch, sampled.source, known.sensitive) if known.sensitive else []
        shown: Json = {
            "id": sampled.id,
            "time": sampled.time,
            "read": batch.arrived / 1e9,
            "settled": sampled.fate.settled,
            "flow": sampled.flow,
            "source": sampled.source,
            "version": sampled.version,
            "size": sampled.size,
            "event": event,
            "value": None,
            "meta": {} if flow is None else _meta(batch, sampled.source, known.sensitive),
            "ends": list(self._ends(sampled, known, None if event is None else texts)) if flow is not None else [],
        }
        if event is None and sampled.is_whole and flow is not None and not known.sensitive:
            shown["value"] = plain(batch.values[0])
        if outgoing and flow is not None and not known.sensitive:
            for told, end in zip(shown["ends"], sampled.ends, strict=True):
                came = batch.values[0] if sampled.is_whole and not end.changed and end.to not in ENDS else None
                told["out"] = plain(end.out if end.changed else came)
        return shown

    def _ends(self, sampled: Sampled, known: _Known, texts: Sequence[str] | None) -> Iterator[Json]:
        """The ends with what became of each. What a sink said is shown without these texts, which are sensitive; where
        it is not known which are, and some may be, it is not shown."""
        for end, loss in zip(sampled.ends, sampled.losses(), strict=True):
            told = _end(end, known) | {"became": self._became(end, loss, sampled.fate)}
            if loss is not None:
                is_hidden = bool(known.sensitive) and texts is None
                detail = MASK if is_hidden and loss.detail else without(within(texts or (), loss.detail), loss.detail)
                told |= {"reason": loss.reason, "detail": detail or None}
            yield told

    def _became(self, end: End, loss: Loss | None, fate: Fate) -> str:
        if end.to == DROP:
            return "dropped"
        if end.to == DEAD_LETTER or loss is not None:
            return "dead_letter"
        if fate.settled is None:
            return "under_way"
        spec = self._configuration.sinks.get(end.to)
        return "delivered" if spec is None or spec.buffer is None else "buffered"

    def _of(self, flow: Flow) -> _Known:
        if flow.name not in self._known:
            sensitive = sensitive_of(flow)
            facts = [_facts(name, spec) for name, spec in self._configuration.sinks.items()]
            self._known[flow.name] = _Known(sensitive, hidden_settings(flow, sensitive, facts))
        return self._known[flow.name]

    def _event(self, decode: Format, batch: Batch, sensitive: Sensitive) -> Any:
        """The event as JSON values, None where it is none."""
        if batch.spoiled:
            return None
        try:
            event = decode.codec.decode_at(batch, 0)
            return to_json(_written(sensitive.redacted(event)) if sensitive else event)
        except (ValueError, RecursionError, CelError):
            return None

    def _texts(self, letter: Letter, known: _Known) -> list[str] | None:
        """The texts that must not be shown of the record of a letter and of what was to go out; None where the record
        cannot be decoded, so that it is not known which they are."""
        batch, sensitive, decode = batch_of(letter), known.sensitive, format_of(letter, self._configuration)
        texts = None if batch.spoiled else _record_texts(decode, batch, letter.source, sensitive)
        if texts is None:
            return None
        if letter.out_value is not None and letter.out_value != letter.value:
            spec = self._configuration.sinks.get(letter.sink)
            encode = (None if spec is None else spec.encode) or decode
            texts += _event_texts(encode, Batch(values=[letter.out_value]), sensitive) or ()
        settings = {
            **letter.out_settings,
            "key": letter.out_key,
            "headers": [value for _, value in letter.out_headers or ()],
        }
        for name in known.settings.get(letter.sink, ()):
            texts += texts_in(settings.get(name))
        return texts

    def _shown_letter(self, shown: Json, letter: Letter, known: _Known) -> Json:
        batch, sensitive = batch_of(letter), known.sensitive
        event = self._event(format_of(letter, self._configuration), batch, sensitive)
        hidden = known.settings.get(letter.sink, frozenset())
        meta = _meta(batch, letter.source, sensitive)
        shown |= {
            "detail": self.detail(letter),
            "value": None if event is None else json.dumps(event, ensure_ascii=False),
            "key": meta.get("key"),
            "attributes": {name: meta.get(name, value) for name, value in shown["attributes"].items()},
            "out_value": None,
        } | _without_original(shown)
        if shown["headers"] is not None:
            shown["headers"] = [
                [name, MASK if sensitive.touches(("meta", "headers", name.lower())) else value]
                for name, value in shown["headers"]
            ]
        if shown["out_key"] is not None and "key" in hidden:
            shown["out_key"] = MASK
        if shown["out_headers"] is not None and "headers" in hidden:
            shown["out_headers"] = [[name, MASK] for name, _ in shown["out_headers"]]
        settings = shown["out_settings"]
        shown["out_settings"] = {name: MASK if name in hidden else value for name, value in settings.items()}
        return shown


def format_of(letter: Letter, configuration: Configuration) -> Format:
    """The format of a letter's source; of one that is gone, that of the first source of its flow, as a replay takes
    it."""
    sources = configuration.sources
    flows = (flow for flow in configuration.flows if flow.name == letter.flow)
    names = [letter.source, *(name for flow in flows for name, _ in flow.sources)]
    return next((sources[name].decode for name in names if name in sources), JsonFormat())


def _flow_of(part: Part, position: int) -> str:
    """The flow of a record on its way to a sink; of a dead letter that is moved there, that of the letter."""
    origin = part.origin
    return _flow_within(origin.batch.values[part.indices[position]]) if origin.flow == MOVED else origin.flow


def _flow_within(letter: bytes) -> str:
    return str(json.loads(letter)["flow"])


def _without_original(shown: Json) -> Json:
    """That something else came first is shown, but not what it was."""
    first = shown["original"]
    return {"original": first and {**first, "value": None, "key": None, "headers": None}}


def _facts(name: str, spec: SinkSpec) -> SinkFacts:
    return SinkFacts(name=name, templates=spec.templates)


def _meta(batch: Batch, source: str, sensitive: Sensitive) -> Json:
    """What the source knows of a record, without what everybody knows of it."""
    return {
        name: plain(_written(sensitive.redacted(value, ("meta", name))))
        for name, value in _meta_values(batch, source).items()
    }


def _meta_values(batch: Batch, source: str) -> dict[str, Any]:
    from rules.meta import meta_of

    return {name: value for name, value in meta_of(batch, 0, source).items() if name not in ("raw", "source")}


def _event_texts(decode: Format, batch: Batch, sensitive: Sensitive) -> list[str] | None:
    """The texts of an event that must not be shown; None where it is none."""
    try:
        event = decode.codec.decode_at(batch, 0)
        return list(hidden_texts(event, sensitive.redacted(event)))
    except (ValueError, RecursionError, CelError):
        return None


def _record_texts(decode: Format, batch: Batch, source: str, sensitive: Sensitive) -> list[str] | None:
    """The same of a whole record, with what came beside its payload."""
    texts = _event_texts(decode, batch, sensitive)
    if texts is None or not any(path[0] == "meta" for path in sensitive.paths):
        return texts
    for name, value in _meta_values(batch, source).items():
        texts += hidden_texts(value, sensitive.redacted(value, ("meta", name)))
    return texts


def _end(end: End, known: _Known) -> Json:
    hidden = known.settings.get(end.to, frozenset())
    return {
        "to": end.to,
        "rule": end.rule or None,
        "settings": {name: MASK if name in hidden else plain(value) for name, value in end.settings.items()},
        "changed": end.changed,
        "reason": end.reason or None,
        "detail": end.detail or None,
    }


def _written(value: object) -> Any:
    if isinstance(value, Mapping):
        return {name: _written(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return list(map(_written, value))
    return MASK if value is HIDDEN else value
