"""The gates of a flow as a daemon has them: one state for all sources of the flow, and the keys that survive a restart.

A key that a record brings to a dedupe is pending until everything that its batch makes is delivered or a dead letter.
Then it is remembered, in the state folder too where the gate says ``persist``, and only then is the batch acknowledged.
So a crash before that forgets the key, and the record, which comes again, is decided anew; and a crash after it lets no
second record with the key through.

A record that is held because of a key that is still pending is only as safe as the record that brought it. So its batch
*leans on* the other one, and is not acknowledged before that has landed; should that fail, both come again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from router.batch import Lease
from router.errors import NotConnected
from router.load import Receipt
from router.metrics import Metrics
from router.state import StateDir
from rules.columns import Constant
from rules.flow import Dedupe, Flow
from rules.gates import DIGEST_BYTES, Crossing, Gates

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS gates (
        id INTEGER PRIMARY KEY,
        flow TEXT NOT NULL,
        rule TEXT NOT NULL,
        kind TEXT NOT NULL,
        expression TEXT NOT NULL,
        UNIQUE (flow, rule, kind, expression)
    )""",
    """CREATE TABLE IF NOT EXISTS gate_keys (
        id INTEGER PRIMARY KEY,
        gate INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        digests BLOB NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS gate_keys_by_end ON gate_keys (until)",
    "CREATE INDEX IF NOT EXISTS gate_keys_by_gate ON gate_keys (gate, since)",
)  # a row for each batch, with the digests of its keys one behind the other
_TIDY_SECONDS: Final = 5.0
_TIDY_ROWS: Final = 500
"""So many rows that have expired are deleted at once."""

_Row = tuple[int, int, int, bytes]


class Gatekeeper:
    """Owns the gates of one flow. ``load`` comes first.

    Gates that are the same ``before``, in the flow as it runs, share their state with these: while the flow changes,
    some batches still cross those.
    """

    def __init__(self, flow: Flow, state: StateDir, metrics: Metrics, before: Gatekeeper | None = None) -> None:
        self._flow = flow
        self.gates: Gates = Gates(flow, None if before is None else before.gates)
        self._numbered = [(rule.name, gate) for rule in flow.rules for gate in rule.gates]
        self._state = state
        self._metrics = [metrics.gate(flow.name, rule, gate.kind) for rule, gate in self._numbered]
        self._ids: dict[int, int] = {}
        self.outcomes: dict[Crossing, Receipt] = {} if before is None else before.outcomes
        self._flying: dict[Crossing, Sequence[Lease | None] | None] = {}
        self._tidied = time.monotonic()

    async def load(self) -> None:
        """Read the keys that have not expired. Raises StateError."""
        kept = {
            number: (self._flow.name, rule, gate.kind, gate.identity)
            for number, (rule, gate) in enumerate(self._numbered)
            if isinstance(gate, Dedupe) and gate.persist
        }
        if not kept:
            return
        ids = await self._state.write(partial(_identify, list(kept.values())))
        self._ids = dict(zip(kept, ids, strict=True))
        for number, id_ in self._ids.items():
            gate = self._numbered[number][1]
            assert isinstance(gate, Dedupe)  # noqa: S101 - chosen above
            if self.gates.is_kept(number):
                continue
            rows = await self._state.read(partial(_keys_since, id_, time.time_ns() - gate.within))
            for since, digests in rows:
                keys = (digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))
                self.gates.remember(number, since, keys)
        self.tell()

    def cross(self, arrived: int) -> Crossing:
        """A batch that arrived at this time begins to cross the gates."""
        return self.gates.cross(arrived)

    def tell(self) -> None:
        """Show how many keys there are."""
        for metrics, keys, forgotten in zip(self._metrics, self.gates.sizes(), self.gates.forgotten(), strict=True):
            metrics.keys.set(keys)
            if forgotten:
                metrics.forgotten.inc(forgotten)

    def follow(
        self, crossing: Crossing, receipts: Sequence[Receipt], leases: Sequence[Lease | None] | None = None
    ) -> list[Receipt]:
        """What a batch makes is under way, with these receipts, and under these leases of its records; back come the
        receipts of the batches that it leans on."""
        waiting = set(receipts)

        def land(receipt: Receipt) -> None:
            if receipt.cancelled() or receipt.exception() is not None:  # and waited for in vain from now on
                self._conclude(crossing, NotConnected(_LOST) if receipt.cancelled() else receipt.exception())
                return
            waiting.remove(receipt)
            if not waiting:
                self._land(crossing)

        self._flying[crossing] = leases
        for receipt in receipts:
            receipt.add_done_callback(land)
        if not receipts:
            self._land(crossing)
        return [self._outcome(other) for other in crossing.leans_on if other.is_lost or not other.is_delivered]

    async def remember(self, crossing: Crossing, only: Collection[int] | None = None) -> None:
        """All that these records (by default, all) made is safe, and so are their keys when this returns.

        Raises StateError while they cannot be kept; then it is to be called again. May be cancelled at any time.
        """
        if only is None:
            self._land(crossing)  # of which its last receipt may not have told yet
        rows = self._rows(crossing, only)
        if rows:
            await self._state.commit(partial(_keep, rows, self._is_time_to_tidy()), len(rows))
        crossing.settle(only)

    def forget(self, crossing: Crossing) -> None:
        """What a batch made is not known to be safe: what of it is not remembered comes again."""
        self._flying.pop(crossing, None)
        crossing.forget()
        self._conclude(crossing, NotConnected(_LOST))

    def _land(self, crossing: Crossing) -> None:
        if crossing not in self._flying:
            return
        leases = self._flying.pop(crossing)
        crossing.is_delivered = True
        if left := _revoked(leases):  # whoever reads them now delivers them, and it may be this process again
            crossing.forget(left)
            crossing.is_lost = True
        self._conclude(crossing, NotConnected(_LOST) if left else None)

    def _outcome(self, crossing: Crossing) -> Receipt:
        """What becomes of a batch that others lean on."""
        outcome = self.outcomes.get(crossing)
        if outcome is None:
            outcome = self.outcomes[crossing] = asyncio.get_running_loop().create_future()
        if crossing.is_lost:
            self._conclude(crossing, NotConnected(_LOST))
        return outcome

    def _conclude(self, crossing: Crossing, error: BaseException | None) -> None:
        outcome = self.outcomes.pop(crossing, None)
        if outcome is None:
            return
        if error is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(error)
            outcome.exception()  # who does not look at it any more need not be told

    def _rows(self, crossing: Crossing, only: Collection[int] | None) -> list[_Row]:
        if not self._ids:
            return []
        found: defaultdict[int, list[bytes]] = defaultdict(list)
        for number, key in crossing.brought(only):
            if number in self._ids:
                found[number].append(key)
        rows = []
        for number, keys in found.items():
            gate = self._numbered[number][1]
            assert isinstance(gate, Dedupe)  # noqa: S101 - no other gate is brought anything
            rows.append((self._ids[number], crossing.arrived, crossing.arrived + gate.within, b"".join(keys)))
        return rows

    def _is_time_to_tidy(self) -> bool:
        if time.monotonic() - self._tidied < _TIDY_SECONDS:
            return False
        self._tidied = time.monotonic()
        return True


_LOST: Final = "a record with the same key, of which one was held, is not delivered"


def _revoked(leases: Sequence[Lease | None] | None) -> set[int]:
    if leases is None or (isinstance(leases, Constant) and not (leases.value and leases.value.revoked)):
        return set()
    return {index for index, lease in enumerate(leases) if lease is not None and lease.revoked}


async def gatekeepers(
    flows: Iterable[Flow], state: StateDir, metrics: Metrics, before: Mapping[str, Gatekeeper] | None = None
) -> dict[str, Gatekeeper]:
    """By flow, what keeps its gates, of flows that have any, with the state of those that were there ``before``. Raises
    StateError."""
    known = before or {}
    found = {
        flow.name: Gatekeeper(flow, state, metrics, known.get(flow.name))
        for flow in flows
        if any(rule.gates for rule in flow.rules)
    }
    for keeper in found.values():
        await keeper.load()
    return found


def _identify(gates: Sequence[tuple[str, str, str, str]], connection: sqlite3.Connection) -> list[int]:
    for statement in _TABLES:
        connection.execute(statement)
    _tidy(connection)
    ids = []
    for gate in gates:
        connection.execute("INSERT OR IGNORE INTO gates (flow, rule, kind, expression) VALUES (?, ?, ?, ?)", gate)
        query = "SELECT id FROM gates WHERE (flow, rule, kind, expression) = (?, ?, ?, ?)"
        ids.append(int(connection.execute(query, gate).fetchone()[0]))
    return ids


def _keys_since(gate: int, since: int, connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
    query = "SELECT since, digests FROM gate_keys WHERE gate = ? AND since > ? ORDER BY since, id"
    return connection.execute(query, (gate, since)).fetchall()


def _keep(rows: Sequence[_Row], tidy: bool, connection: sqlite3.Connection) -> None:
    connection.executemany("INSERT INTO gate_keys (gate, since, until, digests) VALUES (?, ?, ?, ?)", rows)
    if tidy:
        _tidy(connection)


def _tidy(connection: sqlite3.Connection) -> None:
    expired = "SELECT id FROM gate_keys WHERE until < ? ORDER BY until LIMIT ?"
    connection.execute(f"DELETE FROM gate_keys WHERE id IN ({expired})", (time.time_ns(), _TIDY_ROWS))  # noqa: S608
