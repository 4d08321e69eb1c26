"""What the files as they are now would do with records that the daemon has seen: the reload that has not happened."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from pydantic import Field

from router.admin import Subject
from router.api.endpoint import NO_STATE, Call, Endpoint, Said
from router.config import Configuration, load
from router.deadletters import DeadLetters
from router.letter import Letter
from router.letter_filter import Where
from router.preview import Looked, of_letters, of_samples, preview
from rules.model import Model

SECONDS = 10.0
"""So long it looks at most."""
MOST = 2_000


class Asked(Model):
    """Over which records the running configuration and the files are held against each other."""

    on: Literal["live", "dead"] = "live"
    """`live`: the sample that is kept of each flow; `dead`: the oldest dead letters."""
    limit: Annotated[int, Field(ge=0, le=100)] = 3
    """So many records of each kind of move are explained."""
    most: Annotated[int, Field(ge=1, le=MOST)] = 500
    """So many records are looked at."""


class DifferenceTold(Said):
    """Counts for each sink and rule, and the records that would move, each explained, as `sluiceway diff --json`.
    What a contract marks as sensitive is `***`."""


async def _diff(subject: Subject, call: Call) -> DifferenceTold:
    asked: Asked = call.body
    running = subject.configuration
    if asked.on == "live":
        kept = [sampled for flow in running.flows for sampled in subject.samples.sample(flow.name)]
        records = list(of_samples(kept[: asked.most]))
    else:
        records = list(of_letters(await _letters(subject.store, asked.most)))
    return DifferenceTold.model_validate(await asyncio.to_thread(_compared, running, records, asked))


async def _letters(store: DeadLetters, most: int) -> list[Letter]:
    return [letter async for letter in store.find(Where(limit=most))]


def _compared(running: Configuration, records: list[Looked], asked: Asked) -> Any:
    """Reads the files; raises Refused with every fault of them."""
    files = load(running.files)
    difference = preview(running, files, records, examples=asked.limit, most=asked.most, seconds=SECONDS)
    return difference.as_json()


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/diff",
        summary="What the files as they are now would do otherwise with the same records; nothing is written",
        handle=_diff,
        answer=DifferenceTold,
        body=Asked,
        alone=True,
        failures={422: "The files are no configuration that could be taken.", 503: NO_STATE},
    ),
)
