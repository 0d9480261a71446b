"""The marks between which models think aloud before they answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ThinkingMarks:
    """What a model writes before and after its thinking. Everything up to `end` is no part of the answer.

    Models that write into channels announce their `answer` as well. They may think more than once before it, and
    what goes into one of the `asides` is no answer either. Where the answer stands between marks, too, it
    ends at `close`.
    """

    begin: str
    end: str
    answer: str = ""
    asides: tuple[str, ...] = ()
    close: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.begin, self.end, self.answer, self.close, *self.asides)))

    @property
    def openings(self) -> tuple[str, ...]:
        """Each begins text that is no part of the answer."""
        return (self.begin, *self.asides)


# What the chat templates of 2026 use, from the most particular on.
KNOWN_MARKS = (
    # gpt-oss
    ThinkingMarks(
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant",
        answer="<|channel|>final<|message|>",
        asides=("<|channel|>commentary<|message|>",),
    ),
    # Solar Open
    ThinkingMarks("<|think|>", "<|end|><|begin|>assistant", answer="<|content|>"),
    # Gemma 4
    ThinkingMarks("<|channel>thought", "<channel|>"),
    # Magistral, Ministral
    ThinkingMarks("[THINK]", "[/THINK]"),
    # Seed
    ThinkingMarks("<seed:think>", "</seed:think>"),
    # MiniMax M3
    ThinkingMarks("<mm:think>", "</mm:think>"),
    # Command, North
    ThinkingMarks("<|START_THINKING|>", "<|END_THINKING|>"),
    # Apertus
    ThinkingMarks("<|inner_prefix|>", "<|inner_suffix|>"),
    # Apriel
    ThinkingMarks("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
    # EXAONE Deep
    ThinkingMarks("<thought>", "</thought>"),
    # Granite 3
    ThinkingMarks("<think>", "</think>", answer="<response>", close="</response>"),
    # Qwen, DeepSeek, GLM, Kimi, MiniMax M2, Nemotron, SmolLM3, Granite and most others
    ThinkingMarks("<think>", "</think>"),
)


def marks_in(chat_template: str | None) -> ThinkingMarks | None:
    """The marks that a chat template speaks of; None for models that do not think aloud."""
    template = chat_template or ""
    return next(
        (
            marks
            for marks in KNOWN_MARKS
            if (marks.begin in template or marks.end in template) and marks.answer in template
        ),
        None,
    )
