"""Which family of models can do what: a table of the tests in tests/engine/test_families.py, each cell from its run.

python -m benchmarks.families
"""

from __future__ import annotations

import sys
from collections import defaultdict

import pytest

COLUMNS = {
    "test_one_call": "one call",
    "test_two_calls": "many",
    "test_no_call": "none",
    "test_a_call_after_text": "after text",
    "test_a_call_after_thinking": "after thinking",
    "test_a_loop_is_read_whole": "loop",
    "test_two_calls_in_one_turn_are_both_read": "many in a loop",
    "test_calls_of_the_history_look_as_the_model_writes_them": "history",
    "test_roles_are_repaired": "roles",
    "test_every_split": "every split",
}


class Table:
    """Collects the outcomes of one test run by family and test."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
        if report.when == "call" and test in COLUMNS:
            family = next((name for name in FAMILY_NAMES if parameters.removesuffix("]").endswith(f"-{name}")), "")
            family = family or next((n for n in FAMILY_NAMES if parameters.startswith(n)), parameters)
            self.cells[family][test].append(report.passed)

    def write(self) -> None:
        print("| family |", " | ".join(COLUMNS.values()), "|")
        print("|---|" + "---|" * len(COLUMNS))
        for family, tests in self.cells.items():
            outcomes = (tests.get(test) for test in COLUMNS)
            cells = ("–" if o is None else "yes" if all(o) else f"{sum(o)} of {len(o)}" for o in outcomes)
            print(f"| {family} |", " | ".join(cells), "|")


if __name__ == "__main__":
    from tests.engine.families import FAMILIES

    FAMILY_NAMES = sorted((str(family) for family in FAMILIES), key=len, reverse=True)
    table = Table()
    code = pytest.main(["-q", "--no-header", "tests/engine/test_families.py"], plugins=[table])
    table.write()
    sys.exit(code)
