"""What files would do with records that the daemon has seen: the reload that has not happened.

It runs in a thread, one request at a time, and looks at so many records, for so long, at most. Nothing is written, no
gate is crossed, and the running configuration stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from router.admin import Subject
from router.api.endpoint import NO_STATE, Call, Endpoint, Said
from router.api.files import Proposed, contents_of
from router.api.status import named
from router.aside import aside
from router.config import Configuration
from router.letter_filter import Where
from router.preview import Looked, of_letters, of_samples, preview
from router.preview.records import read_now
from router.proposal import Contents, proposed

SECONDS = 10.0
"""So long it looks at most."""
MOST = 2_000
_THROUGH_FLOWS = ("decode", "contract", "rule")
"""Letters of stage `sink` go straight to their sink, whatever the rules say."""


class Asked(Proposed):
    """Over which records the running configuration and the files are held against each other."""

    on: Literal["live", "dead"] = "live"
    """`live`: the sample that is kept of each flow; `dead`: the oldest dead letters that a replay would send through
    their flow."""
    flow: Annotated[str, Field(max_length=500)] | None = None
    """One flow; all that run by default."""
    ids: Annotated[list[Annotated[int, Field(ge=1, le=1 << 62)]], Field(max_length=MOST)] = Field(default_factory=list)
    """Of dead letters, these alone: also those of stage `sink`, as a replay through their flow would send them."""
    limit: Annotated[int, Field(ge=0, le=100)] = 3
    """So many records of each kind of move are explained."""
    most: Annotated[int, Field(ge=1, le=MOST)] = 500
    """So many records are looked at."""


class SideTold(Said):
    """One of the two configurations."""

    files: list[str]
    version: str


class CountTold(Said):
    """How many records end in one place, by either side."""

    flow: str
    to: str
    """A sink, `drop`, `dead_letter`, `reject`, `nowhere` or `not_read`."""
    reason: str | None
    rule: str | None
    old: int
    new: int
    difference: int


class ExampleTold(Said):
    """A record, explained by both sides. What either marks as sensitive is `***`."""

    name: str
    source: str
    record: Any
    old: dict[str, Any] | None
    """Why the running configuration does what it does; null where it does not read the source."""
    new: dict[str, Any] | None


class MoveTold(Said):
    """Records that would move alike, or go out changed alike."""

    flow: str
    to: list[str]
    records: int
    examples: list[ExampleTold]


class DifferenceTold(Said):
    """Counts for each sink and rule, and the records that would move, each explained, as `sluiceway diff --json`."""

    old: SideTold
    new: SideTold
    records: int
    """So many were looked at."""
    is_cut: bool
    """Whether there were more."""
    moved: int
    """So many would go elsewhere."""
    changed: int
    """So many would go to the same sinks, but with another payload, key or setting."""
    healed: int
    """So many would be dead letters no more."""
    spoilt: int
    """So many would become dead letters."""
    still: int
    """Of dead letters: so many would be such again."""
    ungrouped: int
    notes: list[str]
    counts: list[CountTold]
    moves: list[MoveTold]
    changes: list[MoveTold]


async def _diff(subject: Subject, call: Call) -> DifferenceTold:
    asked: Asked = call.body
    running = subject.configuration
    contents = contents_of(running, asked.files)
    flows = {flow.name: flow for flow in running.flows}
    if asked.flow is not None:
        flows = {asked.flow: named("flow", asked.flow, flows)}
    if asked.on == "live":
        kept = [sampled for flow in flows for sampled in subject.samples.sample(flow)]
        records = of_samples(kept)
    else:
        # Named ones are looked at whatever their stage: a replay may have all go through their flow.
        where = Where(flow=list(flows), ids=asked.ids or None, stage=None if asked.ids else _THROUGH_FLOWS)
        records = of_letters(read_now(subject.store.find(where)))
    return DifferenceTold.model_validate(await aside(_compared, running, contents, records, asked))


def _compared(running: Configuration, contents: Contents, records: Iterator[Looked], asked: Asked) -> Any:
    """Reads the files; raises Refused with every fault of them."""
    new = proposed(running, contents)
    difference = preview(running, new, records, examples=asked.limit, most=asked.most, seconds=SECONDS)
    return difference.as_json()


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/diff",
        summary="What files, or texts in their place, would do otherwise with the same records; nothing is written",
        handle=_diff,
        answer=DifferenceTold,
        body=Asked,
        alone=True,
        failures={
            404: "There is no such flow.",
            422: "The files are no configuration that could be taken.",
            503: NO_STATE,
        },
    ),
)
