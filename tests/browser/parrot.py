"""The real program with an engine that repeats what it is told: `python -m tests.browser.parrot` and the usual flags.

So a test can put any words into the mouth of a model, and they reach the page on the way all words do.
"""

from __future__ import annotations

import re
import sys

from localchat_ui.app import create_app
from localchat_ui.engine.base import Emit, GenerationRequest
from localchat_ui.engine.scripted import ScriptedEngine
from localchat_ui.serve import run
from localchat_ui.settings import load_settings

FAIL = "Please fail with: "


class Parrot(ScriptedEngine):
    """Thinks the question, and answers with it piece by piece; or fails with the words it is asked to fail with."""

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        words = request.turns[-1].text
        if words.startswith(FAIL):
            self.enqueue("Well, ", error=words.removeprefix(FAIL))
        else:
            self.enqueue(*re.findall(r"(?s).{1,60}", words), thinking=words)
        super().submit(request, emit)


if __name__ == "__main__":
    settings = load_settings(sys.argv[1:])
    create_app(settings, Parrot(seconds_per_token=0.005))
    run(settings)
