"""A conversation as the model reads it: a request of turns, each made of one message or more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localchat_ui.conversation import ChatOptions, Message, RequestOptions, Role, SamplingOptions
from localchat_ui.engine.base import GenerationRequest, Turn
from localchat_ui.inference import Inference, ModelRef


@dataclass(frozen=True)
class PromptView:
    """What the model would read for the next reply, of `n_ctx` tokens that it can.

    `message_tokens` is by id; the first `n_unseen` messages are not read. With `is_estimate` nobody counted.
    `notes` tell what has to be done to the roles, and what the model's template leaves out.
    """

    text: str
    n_tokens: int
    n_ctx: int
    system_tokens: int
    message_tokens: dict[str, int]
    n_unseen: int
    is_estimate: bool = False
    notes: tuple[str, ...] = ()


async def preview(
    inference: Inference, model: ModelRef, options: ChatOptions, messages: Sequence[Message], n_ctx: int
) -> PromptView:
    """What would be read if these messages were answered now. Raises EngineError."""
    request, owners = request_for(options, messages, model)
    built = await inference.preview(model, request)
    n_system = len(request.turns) - len(owners)
    by_id: dict[str, int] = {}
    rest = iter(messages)
    for n_messages, n_tokens in zip(owners, built.turn_tokens[n_system:], strict=True):
        for index in range(n_messages):
            by_id[next(rest).id] = n_tokens if index == 0 else 0
    system_tokens = sum(built.turn_tokens[:n_system])
    unseen = n_unseen(owners, built.n_dropped)
    return PromptView(built.text, built.n_tokens, n_ctx, system_tokens, by_id, unseen, built.is_estimate, built.notes)


def request_for(
    options: ChatOptions, messages: Sequence[Message], model: ModelRef
) -> tuple[GenerationRequest, list[int]]:
    """The request that answers, or goes on with, the last of these messages; and `turns_of`'s second part."""
    turns, owners = turns_of(options.system_prompt, messages)
    arguments: dict[str, object] = {"enable_thinking": options.thinking, "reasoning_effort": options.reasoning_effort}
    if not model.is_local:
        # Another server is only told what the page offers of it.
        arguments = {
            "enable_thinking": options.thinking if model.thinking.switch else None,
            "reasoning_effort": options.reasoning_effort if model.thinking.efforts else None,
        }
    given = {name: value for name, value in arguments.items() if value is not None}
    return GenerationRequest(turns, sampling_of(options), template_arguments=given), owners


def sampling_of(options: ChatOptions) -> RequestOptions:
    """What the engine needs of the options of a conversation."""
    return RequestOptions.model_validate(options.model_dump(include=set(SamplingOptions.model_fields)))


def up_to(branch: Sequence[Message], reply: Message) -> list[Message]:
    """What the model reads to write this reply: all above it, and what was written of it if it goes on."""
    index = next((index for index, message in enumerate(branch) if message.id == reply.id), len(branch))
    return [*branch[:index], reply]


def turns_of(system_prompt: str, messages: Sequence[Message]) -> tuple[list[Turn], list[int]]:
    """The messages as the model sees them, and how many messages each turn behind the system turn is made of."""
    turns: list[Turn] = []
    owners: list[int] = []
    for message in messages:
        text = text_of(message)
        if text or message.thinking:
            turns.append(Turn(message.role, text, message.thinking))
            owners.append(1)
        elif owners:
            owners[-1] += 1
    if system_prompt.strip():
        turns.insert(0, Turn(Role.SYSTEM, system_prompt.strip()))
    return turns, owners


def text_of(message: Message) -> str:
    """What the model reads of a message: the words, then the files."""
    files = (f"{file.name}:\n{file.block}" for file in message.attachments)
    return "\n\n".join(part for part in (message.text, *files) if part)


def n_unseen(owners: Sequence[int], n_dropped: int) -> int:
    """How many messages the oldest so many turns are made of."""
    return sum(owners[:n_dropped])
