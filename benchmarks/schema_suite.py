"""How many schemas of the public JSON Schema test suite are followed, refused, or (never) got wrong.

python -m benchmarks.schema_suite JSON-Schema-Test-Suite/tests/draft2020-12
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs

from benchmarks import models
from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError
from localchat_ui.engine.grammar import guide_of
from localchat_ui.engine.llama import Model
from localchat_ui.engine.text import Phase
from tests.engine.random_text import some_text

FOLLOWED, REFUSED, ENDLESS, WRONG = "followed", "refused with 400", "no text ended", "wrong"
N_TEXTS = 4


def outcome(model: Model, schema: Any, tests: list[dict[str, Any]]) -> tuple[str, str]:
    """What becomes of one schema, and why. Wrong is a text that it allows and the schema does not.

    Such are made at random, and taken from the `tests` of the suite that say they are not valid.
    """
    if not isinstance(schema, dict):
        return REFUSED, "no object"
    try:
        validator = jsonschema_rs.validator_for(schema)
    except jsonschema_rs.ValidationError:
        return REFUSED, "it needs a document from elsewhere"
    try:
        texts = [some_text(model, _guide(model, schema), seed) for seed in range(N_TEXTS)]
        texts += [text for test in tests if (text := _spelled(model, schema, test["data"])) is not None]
    except EngineError as error:
        return REFUSED, str(error)
    ended = [text for text in texts if text is not None]
    bad = next((text for text in ended if not validator.is_valid(json.loads(text))), None)
    return (WRONG, bad) if bad is not None else (FOLLOWED, "") if ended else (ENDLESS, "")


def _guide(model: Model, schema: dict[str, Any]) -> Any:
    guide = guide_of(model, RequestOptions(json_schema=schema), None, Phase.ANSWER)
    assert guide is not None
    return guide


def _spelled(model: Model, schema: dict[str, Any], value: Any) -> str | None:
    """A value as JSON, if the whole of it may be written."""
    text = json.dumps(value, ensure_ascii=False)
    guide = _guide(model, schema)
    try:
        for token in model.tokenize(text):
            guide.accept(token)
    except EngineError:
        return None
    return text if set(guide.allowed().tolist()) & set(model.ends) else None


def main(folder: Path) -> int:
    model = Model(models.find("smollm2").path, vocab_only=True)
    rows: dict[str, Counter[str]] = {}
    for file in sorted(folder.glob("*.json")):
        row = rows[file.stem] = Counter()
        for case in json.loads(file.read_text()):
            kind, why = outcome(model, case["schema"], case["tests"])
            row[kind] += 1
            if kind in (WRONG, ENDLESS) or "-v" in sys.argv:
                print(f"{file.stem}: {case['description']}: {kind}: {why}", file=sys.stderr)
    kinds = (FOLLOWED, REFUSED, ENDLESS, WRONG)
    print("| keyword |", " | ".join(kinds), "|")
    print("|---|" + "---|" * len(kinds))
    for name, row in [*rows.items(), ("all", sum(rows.values(), Counter()))]:
        print(f"| {name} |", " | ".join(str(row[kind]) for kind in kinds), "|")
    return 1 if sum(row[WRONG] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
