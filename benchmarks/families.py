"""Which family of models can do what: a table of the tests in tests/engine/test_families.py, each cell from its run.

python -m benchmarks.families           prints it
python -m benchmarks.families --write   puts it into docs/models.md
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

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
    "test_a_forced_call_is_written_as_the_model_does_it": "forced call",
    "test_what_is_forced_is_read_as_calls": "forced, read",
    "test_a_structured_answer_stands_behind_the_thinking": "structured behind thinking",
    "test_roles_are_repaired": "roles",
    "test_every_split": "streamed, every split",
}
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "models.md"
BEGIN, END = "<!-- families -->\n", "<!-- /families -->\n"


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

    @property
    def text(self) -> str:
        lines = [f"| family | {' | '.join(COLUMNS.values())} |", "|---|" + "---|" * len(COLUMNS)]
        for family, tests in self.cells.items():
            outcomes = (tests.get(test) for test in COLUMNS)
            cells = ("–" if o is None else "yes" if all(o) else f"{sum(o)} of {len(o)}" for o in outcomes)
            lines.append(f"| {family} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def write(self) -> None:
        """Put it into the document, between its marks."""
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}{self.text}{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    from tests.engine.families import FAMILIES

    FAMILY_NAMES = sorted((str(family) for family in FAMILIES), key=len, reverse=True)
    table = Table()
    code = pytest.main(["-q", "--no-header", "tests/engine/test_families.py"], plugins=[table])
    print(table.text)
    if "--write" in sys.argv:
        table.write()
    sys.exit(code)
