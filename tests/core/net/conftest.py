"""An upstream and a pool to reach it."""

import pytest

from junctor.core.net import Pool, PoolLimits
from tests.fakes.upstream import Upstream


@pytest.fixture(name="upstream")
async def _upstream():
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture(name="pool")
async def _pool():
    pool = Pool(PoolLimits(connect_timeout=2.0, max_answer_bytes=1 << 20))
    await pool.open()
    yield pool
    await pool.close()
