"""Damaged databases: refused, or served without a wrong name or a crash."""

import pytest

import corrupt
import faults

CASES = faults.size("FAULT_DAMAGES", 1000)
WAYS = {corrupt.WRONG: "wrong", corrupt.RUDE: "wrong",
        corrupt.BLIND: "wrong", corrupt.CRASHED: "crashed",
        corrupt.HUNG: "hung"}


@pytest.mark.limit(1800)
def test_damaged_databases():
    first = faults.chance("damage").randrange(1 << 30)
    results = corrupt.run_cases(range(first, first + CASES))
    print(corrupt.table(results))
    with faults.Cases("database damaged") as cases:
        for number, kind, outcome, text in results:
            cases.case()
            if outcome in corrupt.BAD:
                cases.blame(WAYS[outcome], "case %d, %s: %s: %s"
                            % (number, kind, outcome, text))
