"""One call to a tool takes no more instructions of the processor than limits.py says."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from tests.performance.instructions import COUNTED, ratios, reason_not_to_count
from tests.performance.limits import LIMITS

pytestmark = [
    pytest.mark.skipif(reason is not None, reason=str(reason))
    for reason in (
        reason_not_to_count(),
        "limits are for an interpreter that adapts itself" if sys.version_info < (3, 11) else None,
    )
]


@pytest.fixture(scope="module")
def counted() -> Mapping[str, float]:
    return ratios()


@pytest.mark.parametrize("name", COUNTED)
def test_a_call_takes_no_more_instructions_than_its_limit(
    counted: Mapping[str, float], name: str
) -> None:
    limit = LIMITS[name].instructions
    assert limit is not None
    assert counted[name] <= limit, f"{name}, in those of {COUNTED[name]}; see limits.py"
