"""When a vendor fails, the next one answers: ten vendors, fourteen faults, no exception."""

from itertools import product

import pytest

from benchmarks.fallback_matrix import BEGIN, END, FAULTS, PAGE, run
from junctor.contracts.speech_to_text import VENDORS


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_every_vendor_may_fail_in_every_way() -> None:
    """Answered by the healthy one, in time, billed once, and for nothing once the breaker is open."""
    cells = await run()
    failed = {(one.vendor, one.fault): one.problems for one in cells if one.problems}

    assert {(one.vendor, one.fault) for one in cells} == set(product(VENDORS, FAULTS))
    assert failed == {}


def test_the_page_has_the_whole_matrix() -> None:
    """A row for each vendor, a column for each fault, and no failure."""
    found = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    head, _, *rows = found.strip().splitlines()

    assert all(f"| {fault} |" in head for fault in FAULTS.values())
    assert [row.split()[1] for row in rows] == list(VENDORS)
    assert "FAIL" not in found
