"""A third party's connector: the source ``kafka``, which also tells under which lease it has read a record.

``meta.lease`` is another one each time that a partition is assigned to a member, so what is written shows who owned the
partition then.
"""

from __future__ import annotations

import itertools
import os
from typing import ClassVar

from connectors.kafka import KafkaSource
from router import Batch, Lease


class LeasedKafkaSource(KafkaSource):
    """Reads as ``kafka`` does."""

    _numbers: ClassVar[itertools.count[int]] = itertools.count()

    async def read(self) -> Batch:
        """The next records, with their leases."""
        batch = await super().read()
        names = self.__dict__.setdefault("_names", {})
        leases = batch.leases or ()
        for lease in set(leases):
            if lease not in names:
                names[lease] = f"{os.getpid()}.{next(self._numbers)}"
        batch.attributes = {**batch.attributes, "lease": [_name(names, lease) for lease in leases]}
        return batch


def _name(names: dict[Lease | None, str], lease: Lease | None) -> str:
    return names[lease]
