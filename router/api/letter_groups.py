"""Dead letters by what became of them, and why: what there is to understand before anything is repaired."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from router.admin import Subject
from router.api.endpoint import NO_STATE, Call, Endpoint, Failed, Said
from router.api.explaining import Explanation, explain
from router.api.letters import Id, Kinds, the_letter
from router.letter import batch_of, time_text
from router.letter_filter import Where
from router.letter_groups import LetterGroup
from router.redaction import Redaction

MOST = 200


class Grouped(Kinds):
    """Which letters are counted: those that agree with everything given; of several texts of one kind, with any."""

    id: Annotated[list[Id], Field(max_length=100)] = Field(default_factory=list)


class GroupTold(Said):
    """Letters that are alike."""

    flow: str
    stage: str
    source: str
    sink: str | None
    rule: str | None
    reason: str
    detail: str
    """What the newest of them says went wrong."""
    count: int
    bytes: int
    """Those of their payloads."""
    oldest: str
    newest: str
    newest_id: int


class GroupsTold(Said):
    """Dead letters by flow, stage, source, sink, rule and reason."""

    groups: list[GroupTold]
    """The largest first."""
    letters: int
    """How many letters they are, with those that are left out."""
    left_out: int
    """How many groups more there are."""


async def _groups(subject: Subject, call: Call) -> GroupsTold:
    choice = call.query.choice()
    found = await subject.store.groups(choice.where)
    details = await _details(subject, [group.newest_id for group in found[:MOST]])
    told = [_group(group, details) for group in found[:MOST] if group.newest_id in details]
    return GroupsTold(groups=told, letters=sum(group.count for group in found), left_out=max(0, len(found) - MOST))


async def _details(subject: Subject, ids: list[int]) -> dict[int, str]:
    redaction = Redaction(subject.configuration)
    return {letter.id: redaction.letter(letter)["detail"] async for letter in subject.store.find(Where(ids=ids))}


def _group(group: LetterGroup, details: dict[int, str]) -> GroupTold:
    told: dict[str, Any] = {name: getattr(group, name) for name in ("flow", "stage", "source", "reason", "count")}
    return GroupTold(
        **told,
        sink=group.sink or None,
        rule=group.rule or None,
        detail=details[group.newest_id],
        bytes=group.bytes,
        oldest=time_text(group.oldest),
        newest=time_text(group.newest),
        newest_id=group.newest_id,
    )


async def _explanation(subject: Subject, call: Call) -> Explanation:
    letter = await the_letter(subject, call)
    ruleset = subject.running_ruleset(letter.flow, letter.source)
    if ruleset is None:
        raise Failed(404, f"the flow {letter.flow} of the dead letter {letter.id} is there no more")
    return await explain(subject, ruleset, batch_of(letter), letter.source)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/dead_letters/groups",
        summary="Dead letters, counted by what became of them",
        handle=_groups,
        answer=GroupsTold,
        query=Grouped,
        failures={503: NO_STATE},
    ),
    Endpoint(
        method="GET",
        path="/api/dead_letters/{id}/explanation",
        summary="What the rules that run now would do with the record of a dead letter, and why",
        handle=_explanation,
        answer=Explanation,
        alone=True,
        failures={404: "There is no such dead letter, or its flow is no more.", 503: NO_STATE},
    ),
)
