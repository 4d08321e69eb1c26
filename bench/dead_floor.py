"""The floor of ``bench.dead``: the lines of a file into the table of dead letters, and nothing else.

``python dead_floor.py INPUT DATABASE``. Batches are as large as the daemon's, each one ``executemany`` in a
transaction that is synced; what stands in the other columns is the same for all. Nothing is decoded,
decided or counted.
"""

import sqlite3
import sys
import time
from pathlib import Path

_BATCH = 1 << 20
_INSERT = (
    "INSERT INTO letters (time, kind, attempts, record_time, detail, key, came, goes, value, out_value) "
    "VALUES (?, 1, 1, ?, ?, NULL, ?, NULL, ?, NULL)"
)
_DETAIL = "`amount is at least 1000000.0` is not true: event.amount >= 1000000.0"
_CAME = b"\x92\xc0\x82\xa4path\xd9\x2c/tmp/sluiceway-bench/events-1-1000000-1.ndjson\xa6offset\xce\x00\x00\x00\x00"


def main(source: str, database: str) -> None:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    with Path(source).open("rb", buffering=_BATCH) as file:
        while lines := file.readlines(_BATCH):
            now = time.time_ns()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, [(now, now, _DETAIL, _CAME, line[:-1]) for line in lines])
            connection.execute("COMMIT")
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
