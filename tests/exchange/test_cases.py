"""ChatGPT's exports as people have them, one kind a file: each imports, with every readable message."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from localchat_ui.exchange import read_file

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
# What is said to be left out. Of the others nothing is.
LEFT_OUT = {
    "audio": {"recordings": 1},
    "author-null": {"messages without an author": 1},
    "author-role-null": {"messages without an author": 1},
    "citations": {"citations": 1},
    "code-tool": {"calls of tools": 1, "messages of tools": 1},
    "content-missing": {"messages that cannot be read": 1},
    "custom-instructions": {"hidden instructions": 1},
    "multimodal": {"pictures": 1},
    "no-author": {"messages without an author": 1},
    "parts-null": {"messages that cannot be read": 1},
    "search-json-call": {"calls of tools": 1},
    "system-error": {"messages of tools": 1},
    "weight-zero": {"hidden messages": 1},
}
N_SKIPPED = {"empty-mapping": 1, "mixed-bad": 4}
WITHOUT_A_REPLY = {"content-missing", "citations"}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_case_imports(case: Path) -> None:
    reading = read_file(case.read_bytes())
    texts = [message.text for message in reading.trees[-1].messages]
    assert any(text.startswith(("It is 4.", "Four.")) for text in texts) or case.stem in WITHOUT_A_REPLY
    assert len(texts) >= 2 or case.stem == "content-missing"
    assert reading.left_out == Counter(LEFT_OUT.get(case.stem, {}))
    assert len(reading.skipped) == N_SKIPPED.get(case.stem, 0)
