"""A conversation as tokens, fitted to the context, and what had to be left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from localchat_ui.conversation import Role
from localchat_ui.engine.base import EngineError, PromptTooLongError, Turn
from localchat_ui.engine.llama import Model
from localchat_ui.engine.roles import merged
from localchat_ui.engine.template import (
    FALLBACK_STOP,
    quoted,
    quoted_value,
    render,
    support_of_model,
    thinking_of_model,
    tokenize,
    unquoted,
)
from localchat_ui.engine.text import Phase
from localchat_ui.engine.thinking import ThinkingMarks
from localchat_ui.engine.tool_format import HERMES, ToolFormat
from localchat_ui.text import N_, Text

# Room for a reply is kept free: its limit, but no more than this share of the context; and never less than so many.
REPLY_SHARE = 4
LEAST_REPLY_TOKENS = 16


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and the strings at which its reply ends.

    `turn_tokens` are the tokens of each turn as it was given, template words included; those of the `n_dropped` oldest
    turns behind the system turn are left out of `tokens`. `text` is the same for people to read. `phase` is where
    between the thinking `marks` the reply begins, or goes on if `continued`; the last `n_begun` tokens are those of a
    reply that was broken off. `notes` tell people what was done to the
    roles, and what the template leaves out; `tool_format` is how the model writes calls, several of them in
    one turn if `may_call_several`.
    """

    tokens: list[int]
    stop: tuple[str, ...] = ()
    turn_tokens: tuple[int, ...] = ()
    n_dropped: int = 0
    text: str = ""
    marks: ThinkingMarks | None = None
    phase: Phase = Phase.START
    continued: bool = False
    n_begun: int = 0
    notes: tuple[str, ...] = ()
    tool_format: ToolFormat = HERMES
    may_call_several: bool = True


def build_prompt(
    model: Model,
    turns: Sequence[Turn],
    *,
    n_ctx: int,
    max_tokens: int = 1,
    template_arguments: Mapping[str, object] | None = None,
    may_drop: bool = True,
) -> Prompt:
    """Render, tokenize and fit a conversation to `n_ctx` tokens, with room for a reply of `max_tokens`.

    The system turn and the newest turns stay, whole oldest turns leave if they may; a last turn of the assistant goes
    on, unless it waits for the answers of tools. Raises EngineError when there is nothing to answer, PromptTooLongError
    when what has to stay is too long.
    """
    turns = [quoted(model, turn) for turn in turns]
    partial: Turn | None = None
    n_partial = 0
    while turns and turns[-1].role is Role.ASSISTANT and not turns[-1].tool_calls:
        last = turns.pop()
        partial = last if partial is None else merged(last, partial)
        n_partial += 1
    begins = partial is not None and all(turn.role is Role.SYSTEM for turn in turns)
    if begins:
        turns.append(Turn(Role.USER, ""))
    if not turns:
        raise EngineError(Text("There is no message to answer."))
    given = thinking_of_model(model).arguments(template_arguments or {})
    arguments = {name: quoted_value(model, value) for name, value in given.items()}
    text, notes = render(model, turns, arguments)
    tokens = tokenize(model, text)
    sizes = _turn_tokens(model, text, turns, len(tokens))
    begun, phase = _begun(model, text, partial)
    begun_tokens = tokenize(model, begun, whole=False)
    if partial is not None:
        n_added = sizes[-1] if begins else 0
        sizes = (*sizes[: len(sizes) - begins], *(0,) * (n_partial - 1), len(begun_tokens) + n_added)
    room = n_ctx - max(LEAST_REPLY_TOKENS, min(max_tokens, n_ctx // REPLY_SHARE)) - len(begun_tokens)
    n_dropped = 0
    n_system = next((n for n, turn in enumerate(turns) if turn.role is not Role.SYSTEM), len(turns))
    droppable = sizes[n_system : len(turns)]
    # Once is enough, unless the template writes more for what is left than it did before.
    while may_drop and len(tokens) > room and n_dropped < len(droppable) - 1:
        excess = sum(droppable[:n_dropped]) + len(tokens) - room
        n_dropped = _n_to_drop(turns[n_system:], droppable, excess, n_ctx // REPLY_SHARE)
        text, notes = render(model, [*turns[:n_system], *turns[n_system + n_dropped :]], arguments)
        tokens = tokenize(model, text)
    tokens += begun_tokens
    if len(tokens) > n_ctx - LEAST_REPLY_TOKENS:
        what = N_("This message and the system prompt have") if may_drop else N_("These messages have")
        raise PromptTooLongError(
            Text(
                "{what} {n} tokens and the context holds {n_ctx}. Shorten them, or raise N_CTX.",
                what=what,
                n=len(tokens),
                n_ctx=n_ctx,
            ),
            len(tokens),
            n_ctx,
        )
    stop = () if model.chat_template else FALLBACK_STOP
    support = support_of_model(model)
    return Prompt(
        tokens,
        stop,
        sizes,
        n_dropped,
        text=unquoted(model, text + begun),
        marks=model.thinking_marks,
        phase=phase,
        continued=bool(begun),
        n_begun=len(begun_tokens),
        notes=tuple(unquoted(model, note) for note in notes),
        tool_format=support.format,
        may_call_several=support.several or not support.writes_calls,
    )


def plain_prompt(model: Model, given: str | Sequence[int], *, n_ctx: int, suffix: str | None = None) -> Prompt:
    """What is read as it is, without a chat template; control tokens written out in it steer the model.

    With a `suffix` the reply is what stands between the two. Raises EngineError for tokens that the model does not
    have, PromptTooLongError.
    """
    tokens = list(model.tokenize(given, add_special=True) if isinstance(given, str) else given)
    if suffix is not None:
        tokens = _around(model, given, suffix)
    check_tokens(model, tokens)
    if not tokens:
        raise EngineError(Text("The prompt is empty."))
    if len(tokens) > n_ctx - LEAST_REPLY_TOKENS:
        raise PromptTooLongError(
            Text(
                "The prompt has {n} tokens and the context holds {n_ctx}. Shorten it, or raise N_CTX.",
                n=len(tokens),
                n_ctx=n_ctx,
            ),
            len(tokens),
            n_ctx,
        )
    return Prompt(tokens, turn_tokens=(len(tokens),), phase=Phase.ANSWER, continued=True)


def check_tokens(model: Model, tokens: Sequence[int]) -> None:
    """Raises EngineError for tokens that the model does not have."""
    unknown = next((token for token in tokens if not 0 <= token < model.n_vocab), None)
    if unknown is not None:
        raise EngineError(
            Text(
                "There is no token {unknown}: the model has {n_vocab} tokens.",
                unknown=str(unknown),
                n_vocab=model.n_vocab,
            )
        )


def _around(model: Model, given: str | Sequence[int], suffix: str) -> list[int]:
    """A prompt to which the reply is what stands before the suffix.

    Raises EngineError for a model that has no tokens for that.
    """
    before, after, middle = model.fim_tokens
    if min(before, after, middle) < 0:
        raise EngineError(
            Text("{name} cannot fill in the middle of a text. Name another model, or no suffix.", name=model.path.stem)
        )
    prefix = model.tokenize(given, as_text=True) if isinstance(given, str) else list(given)
    beginning = model.tokenize("", add_special=True)
    return [*beginning, before, *prefix, after, *model.tokenize(suffix, as_text=True), middle]


def _begun(model: Model, text: str, partial: Turn | None) -> tuple[str, Phase]:
    """How a reply that is to go on looked to the model when it was broken off, and where in it that was.

    It follows the very prompt it was written for, so that template and tokens are the same as then.
    """
    marks = model.thinking_marks
    opened = marks is not None and text.rstrip().endswith(marks.begin)
    if partial is None or not (partial.text or partial.thinking):
        return "", Phase.THINKING if opened else Phase.START
    if marks is None:
        # The plain fallback ends without the space that a model begins with.
        return ("" if model.chat_template else " ") + partial.text, Phase.ANSWER
    if not (opened or partial.thinking):
        return marks.answer + partial.text, Phase.ANSWER
    # Between marks that are tags stands white space; channels do without.
    begin, end = (marks.begin, marks.end + marks.answer) if marks.answer else (f"{marks.begin}\n", f"{marks.end}\n\n")
    thought = ("" if opened else begin) + partial.thinking
    return (f"{thought}{end}{partial.text}", Phase.ANSWER) if partial.text else (thought, Phase.THINKING)


def _n_to_drop(turns: Sequence[Turn], sizes: Sequence[int], excess: int, step: int) -> int:
    """How many of the oldest turns leave, so that at least `excess` tokens do; the last turn always stays.

    They leave in steps of about so many tokens: if a little left with every turn, the prompt would begin differently
    each time and nothing of it could be reused.
    """
    goal = -(-excess // step) * step
    gone = list(accumulate(sizes))
    n = next((index + 1 for index, total in enumerate(gone[:-1]) if total >= goal), len(turns) - 1)
    # What is kept begins with a question: many templates insist on it.
    while n < len(turns) - 1 and turns[n].role is not Role.USER:
        n += 1
    return n


def _turn_tokens(model: Model, text: str, turns: Sequence[Turn], total: int) -> tuple[int, ...]:
    """Tokens up to the end of each turn's words, minus those before; what follows the last counts as the last's."""
    ends, position = [], 0
    for turn in turns:
        words = turn.text.strip()
        found = text.find(words, position)
        position = found + len(words) if found >= 0 else position
        ends.append(position)
    pieces = [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    counts = [len(tokenize(model, piece, whole=False)) for piece in pieces]
    # Cut at the ends of turns, a text may give a token more or less; the last turn takes up the difference.
    counts[-1] = max(0, total - sum(counts[:-1]))
    return tuple(counts)
