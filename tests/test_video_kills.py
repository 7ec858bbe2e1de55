"""Servers and workers that are killed while they make videos, in small."""

import os

import pytest

from tests.fakes.postgres import program
from tests.test_benchmarks import output


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "drill",
    [("--database", "sqlite", "--late", "2"), ("--database", "postgresql", "--kills", "4")],
    ids=["sqlite", "postgresql"],
)
async def test_no_job_is_lost_or_charged_twice(drill: tuple[str, ...]) -> None:
    """Killed in every stage, each job ends with its video and one charged row in the ledger."""
    if program("initdb") is None:
        assert not os.environ.get("CI"), "Postgres is not installed"
        pytest.skip("Postgres is not installed")
    told = await output("benchmarks.video_kills", *drill)

    assert "no violation" in told
    assert "kills: " in told
