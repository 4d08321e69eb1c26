"""The floor of ``bench.dead``: the lines of a file into the table of dead letters, and nothing else.

``python dead_floor.py INPUT DATABASE``. Batches are as large as the daemon's, each one ``executemany`` in a
transaction that is synced; what stands in the other columns is the same for all. Nothing is decoded, nothing decided.
"""

import sqlite3
import sys
import time
from pathlib import Path

_BATCH = 1 << 20
_COLUMNS = (
    *("time", "flow", "stage", "source", "rule", "sink", "reason", "detail", "attempts", "version", "record_time"),
    *("key", "headers", "attributes", "out_key", "out_headers", "out_settings", "value", "out_value"),
)
_INSERT = f"INSERT INTO letters ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_DETAIL = "`amount is a million` is not true: event.amount >= 1000000.0"


def main(source: str, database: str) -> None:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    with Path(source).open("rb", buffering=_BATCH) as file:
        while lines := file.readlines(_BATCH):
            now = time.time_ns()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                _INSERT,
                [
                    (now, "events", "contract", "events", "", "", "invalid", _DETAIL, 1, "0123456789ab", now,
                     None, None, b"\x80", None, None, b"\x80", line[:-1], None)
                    for line in lines
                ],
            )  # fmt: skip
            connection.execute("COMMIT")
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
