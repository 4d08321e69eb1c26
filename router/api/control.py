"""Orders: take the files as they are now, stop reading a source, read it again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from router.admin import Audited, Subject
from router.api.endpoint import NO_STATE, Call, Endpoint, Failed, Said
from router.api.status import SourceTold, named, status_of
from router.errors import SluicewayError, StateError
from rules.model import Model


class Nothing(Model):
    """A body that says nothing: `{}`, or no bytes at all."""


class ChangesTold(Said):
    """Names of components of one kind."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class TakenTold(Said):
    """When and why a configuration was taken."""

    time: float
    """In Unix seconds."""
    cause: str
    """`files`, `SIGHUP` or `api`."""


class ReloadTold(Said):
    """A configuration that was taken."""

    version: str
    """That of the configuration that runs now."""
    previous: str
    """That of the one before: the same where only secrets, or values that were filled in, are others."""
    changes: dict[str, ChangesTold]
    """By kind: `sources`, `sinks`, `flows`, `tables`, and `settings` for what is none of these (`vars`, `secrets`,
    `models`, `drain_timeout`, `dead_letters`, `http.token`); without those of which nothing changed."""
    warnings: list[str]
    taken: TakenTold | None = None
    """Where nothing had changed: the reload that the configuration came with; null where it is that of the start."""


async def record(subject: Subject, action: str, call: Call, detail: Mapping[str, Any]) -> None:
    """Write down what is about to be done. Raises StateError when that cannot be written: then it must not be done."""
    if isinstance(subject, Audited):
        await subject.audit.record(action, call.actor, detail, required=True)


def writing(
    subject: Subject, action: str, call: Call, detail: Mapping[str, Any]
) -> Callable[[sqlite3.Connection], object] | None:
    """What writes the same down within a transaction that does it: both happen, or neither."""
    return subject.audit.writing(action, call.actor, detail) if isinstance(subject, Audited) else None


async def _reload(subject: Subject, call: Call) -> ReloadTold:
    try:
        reloaded = await subject.reload("api", call.actor)
    except StateError:
        raise
    except SluicewayError as error:
        raise Failed(409, str(error)) from error
    return ReloadTold.model_validate(reloaded.as_json())


async def _pause(subject: Subject, call: Call) -> SourceTold:
    name = call.names["name"]
    named("source", name, status_of(subject).sources)
    await record(subject, "pause", call, {"source": name})
    await subject.pause(name)
    return named("source", name, status_of(subject).sources)


async def _resume(subject: Subject, call: Call) -> SourceTold:
    name = call.names["name"]
    named("source", name, status_of(subject).sources)
    await record(subject, "resume", call, {"source": name})
    await subject.resume(name)
    return named("source", name, status_of(subject).sources)


_NO_SOURCE = {404: "There is no such source.", 503: NO_STATE}

ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/reload",
        summary="Take the files as they are now; answers with what changed, or with every fault, and goes on as before",
        handle=_reload,
        answer=ReloadTold,
        body=Nothing,
        failures={
            409: "The daemon starts or stops.",
            422: "The configuration is refused; the one before runs on.",
            503: NO_STATE,
        },
    ),
    Endpoint(
        method="POST",
        path="/api/sources/{name}/pause",
        summary="Read no more from a source; what was read is settled, then it is closed",
        handle=_pause,
        answer=SourceTold,
        body=Nothing,
        failures=_NO_SOURCE,
    ),
    Endpoint(
        method="POST",
        path="/api/sources/{name}/resume",
        summary="Read from a paused source again",
        handle=_resume,
        answer=SourceTold,
        body=Nothing,
        failures=_NO_SOURCE,
    ),
)
