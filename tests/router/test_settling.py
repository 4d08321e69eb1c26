"""Records are safe one by one, however the deliveries of their batch end."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from router.settling import safe_in_turn

SHARES = st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=4)


@given(SHARES, st.data())
def test_a_record_is_safe_when_the_last_of_its_shares_is_and_not_before(
    shares: list[list[int]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(shares))))
    fails = data.draw(st.sets(st.sampled_from(order))) if order else set()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        receipts: list[asyncio.Future[None]] = [loop.create_future() for _ in shares]
        safe: set[int] = set()

        async def collect() -> None:
            async for some in safe_in_turn(6, list(zip(receipts, shares, strict=True))):
                assert some
                assert not safe.intersection(some)
                safe.update(some)

        collecting = asyncio.create_task(collect())
        open_shares = set(order)
        for number in order:
            if number in fails:
                receipts[number].set_exception(OSError())
            else:
                receipts[number].set_result(None)
                open_shares.discard(number)
            for _ in range(4):
                await asyncio.sleep(0)
            assert safe == {index for index in range(6) if not any(index in shares[each] for each in open_shares)}
        await collecting

    asyncio.run(run())
