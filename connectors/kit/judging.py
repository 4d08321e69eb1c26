"""Whether batches and records are what they should be."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from connectors.kit.promise import BrokenPromise
from router import Batch, Lease

BATCH_RECORDS = 100_000
BATCH_BYTES = 8 << 20
"""What a batch of more than one record may hold: it is decided about, queued and written as one."""

_YEAR = 365 * 86400 * 10**9


def in_good_order(name: str, batch: object, *, needs_token: bool) -> None:
    """Whether a batch is what the router expects of one, all of its records whole. Raises BrokenPromise."""
    __tracebackhide__ = True
    if not isinstance(batch, Batch):
        raise BrokenPromise(f"{name}.read() returns {batch!r:.200}", "a router.Batch")
    for what, right in _faults(batch, needs_token=needs_token):
        raise BrokenPromise(f"{name}.read() gives a batch {what}", right)


def _faults(batch: Batch, *, needs_token: bool) -> list[tuple[str, str]]:
    size = len(batch)
    faults = []
    if not size:
        faults.append(("without records", "wait until there is one, or raise EndOfStream"))
    wrong = [value for value in batch.values if type(value) is not bytes]
    if wrong:
        faults.append((f"with the value {wrong[0]!r:.100}", "payloads are bytes, undecoded: decoding is the router's"))
    if needs_token and batch.token is None:
        faults.append(
            ("without a token", "what ack() needs to know which batch it is; the source says that it replays")
        )
    if size > 1 and (size > BATCH_RECORDS or batch.bytes > BATCH_BYTES):
        faults.append(
            (
                f"of {size} records and {batch.bytes} bytes",
                f"at most {BATCH_RECORDS} and {BATCH_BYTES}; cut it into several",
            )
        )
    if batch.spoiled:
        faults.append((f"with spoiled records: {dict(batch.spoiled)}", "the records that were put are without fault"))
    if batch.settings:
        faults.append(
            (f"with settings: {', '.join(batch.settings)}", "none: they are for batches on their way to a sink")
        )
    return faults + _faults_of_columns(batch)


def _faults_of_columns(batch: Batch) -> list[tuple[str, str]]:
    optional = {"keys": batch.keys, "headers": batch.headers, "times": batch.times, "leases": batch.leases}
    columns: dict[str, Sequence[object]] = {name: column for name, column in optional.items() if column is not None}
    columns |= {f"attributes[{name!r}]": column for name, column in batch.attributes.items()}
    faults = [
        (f"whose {name} are {len(column)} for {len(batch)} records", "an entry for each record, or no column")
        for name, column in columns.items()
        if len(column) != len(batch)
    ]
    for name, entry in ((name, entry) for name, column in columns.items() for entry in column if entry is not None):
        if name == "keys" and type(entry) is not bytes:
            faults.append((f"with the key {entry!r:.100}", "bytes, or None"))
        if name == "headers" and not _are_headers(entry):
            faults.append((f"with the headers {entry!r:.100}", "pairs of a name (str) and a value (bytes), or None"))
        if name == "times" and not (type(entry) is int and 20 * _YEAR < entry < time.time_ns() + 50 * _YEAR):
            faults.append((f"with the time {entry!r:.100}", "Unix nanoseconds, an int, or None"))
        if name == "leases" and not isinstance(entry, Lease):
            faults.append((f"with the lease {entry!r:.100}", "a router.Lease, the same for all records of a partition"))
    return faults


def _are_headers(entry: object) -> bool:
    return isinstance(entry, Sequence) and all(
        isinstance(pair, Sequence) and len(pair) == 2 and type(pair[0]) is str and type(pair[1]) is bytes
        for pair in entry
    )


def same(where: str, found: Sequence[bytes], wanted: Sequence[bytes]) -> None:
    """Whether these are the same records in the same order. Raises BrokenPromise that shows the first difference."""
    __tracebackhide__ = True
    if list(found) == list(wanted):
        return
    at = next((i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        what = f"{where} gives {len(found)} records, not {len(wanted)}"
        at = min(len(found), len(wanted))
        extra = f"has {found[at]!r:.100} more" if len(found) > at else f"lacks {wanted[at]!r:.100}"
        raise BrokenPromise(f"{what}: it {extra}", "every record, once, in order")
    if sorted(found) == sorted(wanted):
        raise BrokenPromise(
            f"{where} gives record {at} out of order: {found[at]!r:.100} where {wanted[at]!r:.100} was put",
            "keep the order",
        )
    raise BrokenPromise(
        f"{where} gives {found[at]!r:.100} as record {at}, where {wanted[at]!r:.100} was put",
        "every record, whole, in order",
    )


def alike(found: bytes, wanted: bytes) -> bool:
    """Whether a payload was written exactly, or, where it holds newlines, as the same JSON in one line."""
    if found == wanted:
        return True
    try:
        return b"\n" in wanted and b"\n" not in found and bool(json.loads(found) == json.loads(wanted))
    except ValueError:
        return False
