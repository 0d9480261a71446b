"""The marks between which models think aloud before they answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ThinkingMarks:
    """What a model writes before and after its thinking. Everything up to `end` is no part of the answer."""

    begin: str
    end: str


# Families of models: Qwen, DeepSeek and most others; Magistral; Seed; Command; gpt-oss.
KNOWN_MARKS = (
    ThinkingMarks("<think>", "</think>"),
    ThinkingMarks("[THINK]", "[/THINK]"),
    ThinkingMarks("<seed:think>", "</seed:think>"),
    ThinkingMarks("<|START_THINKING|>", "<|END_THINKING|>"),
    ThinkingMarks(
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
)


def marks_in(chat_template: str | None) -> ThinkingMarks | None:
    """The marks that a chat template speaks of; None for models that do not think aloud."""
    template = chat_template or ""
    return next((marks for marks in KNOWN_MARKS if marks.begin in template or marks.end in template), None)
