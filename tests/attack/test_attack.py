"""Every attacker for a moment: the server lives, answers as it should, holds no memory for it, and the honest client beside
it gets all its answers. How much slower they come is for `./dev attack`, which takes longer and says it in a table."""

from __future__ import annotations

import os

import pytest
from attackers import ATTACKERS
from expected import EXPECTED, GROWTH_MIB, GROWTH_MIB_OF, unexpected
from siege import Siege

SECONDS = 0.8
# A sanitizer keeps what was freed for a while, and pads what is not.
SANITIZED = 1 if os.environ.get("PERDURE_RELEASE") else 5


@pytest.fixture(scope="module")
def siege():
    under = Siege()
    yield under
    under.audit()
    under.close()


def test_every_attacker_has_its_answers():
    assert set(ATTACKERS) == set(EXPECTED)


@pytest.mark.parametrize("name", ATTACKERS)
def test_a_hostile_peer_gets_what_it_deserves(siege, name):
    quarter = siege.attacked(name, SECONDS)
    assert unexpected(name, quarter.seen) == [], quarter.seen
    assert quarter.failures == []
    assert quarter.grown_mib < SANITIZED * GROWTH_MIB_OF.get(name, GROWTH_MIB)
