"""Disk buffers whose sink is gone: what is in them is not forgotten."""

from __future__ import annotations

import logging

from router.config import Configuration
from router.diskbuffer import delete, waiting
from rules.faults import Fault, Place

log = logging.getLogger(__name__)


def stranded(configuration: Configuration) -> list[Fault]:
    """A fault for each buffer in the state folder in which records wait, and that no sink has any more.

    Raises StateError for a buffer that cannot be read.
    """
    faults = []
    for sink, file, records in waiting(configuration.state_dir):
        spec = configuration.sinks.get(sink)
        if records and (spec is None or spec.buffer is None):
            gone = "is not among `sinks`" if spec is None else "has no `buffer`"
            what = f"{records} record(s) wait in the disk buffer of `{sink}`, which {gone} any more"
            how = f"to give them up, stop the daemon and move {file} away"
            hint = f"should have its `buffer` until they are delivered; {how}"
            place = Place(str(configuration.files[0])) if spec is None else spec.place
            faults.append(Fault(place, what, hint))
    return faults


def remove_leftovers(configuration: Configuration) -> None:
    """Delete the empty buffers that no sink has any more. The state folder is held by this process."""
    for sink, file, records in waiting(configuration.state_dir):
        spec = configuration.sinks.get(sink)
        if not records and (spec is None or spec.buffer is None):
            delete(file)
            log.info("sink %s: it has no disk buffer any more; %s was empty and is deleted", sink, file)
