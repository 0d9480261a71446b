"""A reply in the words of /v1/responses: a response with items, as a whole and as events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from localchat_ui.api.blocks import Block, BlockKind, BlockStream, Closed, Grown, Opened, Step, blocks_of
from localchat_ui.api.errors import ApiError
from localchat_ui.api.replies import ChoiceReader, usage_of
from localchat_ui.api.responses_requests import functions_of
from localchat_ui.api.responses_schemas import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    ResponseObject,
    ResponsesError,
    ResponsesRequest,
    ResponsesUsage,
)
from localchat_ui.api.schemas import Delta, TokenLogprobs
from localchat_ui.api.sse import event
from localchat_ui.conversation import RequestOptions, new_id
from localchat_ui.inference import ModelRef

PREFIXES = {BlockKind.THINKING: "rs", BlockKind.TEXT: "msg", BlockKind.CALL: "fc"}


class ResponseAnswer:
    """Puts together what /v1/responses answers; `keep` gets the response when it has ended."""

    def __init__(
        self,
        model: ModelRef,
        reader: ChoiceReader,
        body: ResponsesRequest,
        sampling: RequestOptions,
        keep: Callable[[ResponseObject], None] | None,
    ) -> None:
        self.readers: Sequence[ChoiceReader] = [reader]
        self._reader = reader
        self._keep = keep
        self._blocks = BlockStream()
        self._n_events = 0
        self._key = new_id()
        self._response = ResponseObject(
            id=f"resp_{self._key}",
            created_at=int(time.time()),
            status="in_progress",
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            metadata=body.metadata,
            model=model.id,
            parallel_tool_calls=body.parallel_tool_calls,
            previous_response_id=body.previous_response_id,
            reasoning=body.reasoning,
            store=body.store,
            temperature=sampling.temperature,
            text=body.text,
            tool_choice=body.tool_choice if isinstance(body.tool_choice, str) else body.tool_choice.model_dump(),
            tools=[tool.model_dump() for tool in functions_of(body)],
            top_p=sampling.top_p,
            truncation=body.truncation,
        )

    def whole(self) -> ResponseObject:
        return self._ended(blocks_of(self._reader))

    def beginning(self) -> Iterator[bytes]:
        yield self._event("response.created", response=self._response.model_dump())
        yield self._event("response.in_progress", response=self._response.model_dump())

    def step(self, index: int, delta: Delta, logprobs: list[TokenLogprobs]) -> Iterator[bytes]:
        for step in self._blocks.read(delta):
            yield from self._events(step, logprobs)

    def ending(self) -> Iterator[bytes]:
        for step in self._blocks.finish():
            yield from self._events(step, [])
        response = self._ended(self._blocks.blocks)
        yield self._event(f"response.{response.status}", response=response.model_dump())

    def farewell(self, error: ApiError) -> bytes:
        said = error.body.error
        failure = ResponsesError(code=said.code or said.type, message=said.message)
        output = [self._item(block, "incomplete") for block in self._blocks.blocks]
        changes = {"status": "failed", "error": failure, "output": output}
        return self._event("response.failed", response=self._response.model_copy(update=changes).model_dump())

    def _ended(self, blocks: Sequence[Block]) -> ResponseObject:
        cut = self._reader.finish_reason == "length"
        items = [self._item(block, self._status(cut=cut and block is blocks[-1])) for block in blocks]
        changes = {
            "status": self._status(cut=cut),
            "incomplete_details": IncompleteDetails(reason="max_output_tokens") if cut else None,
            "output": items,
            "usage": self._usage(),
        }
        response = self._response.model_copy(update=changes)
        if self._keep is not None:
            self._keep(response)
        return response

    @staticmethod
    def _status(*, cut: bool) -> str:
        return "incomplete" if cut else "completed"

    def _usage(self) -> ResponsesUsage:
        usage = usage_of(self.readers)
        return ResponsesUsage(
            input_tokens=usage.prompt_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=usage.prompt_tokens_details.cached_tokens),
            output_tokens=usage.completion_tokens,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=self._reader.n_thinking),
            total_tokens=usage.total_tokens,
        )

    def _item(self, block: Block, status: str) -> dict[str, Any]:
        """A block as an item of the output; while it is in progress, one without content."""
        head = {"id": self._id(block), "status": status}
        if block.kind is BlockKind.CALL:
            call = {"call_id": block.call_id, "name": block.name, "arguments": block.text}
            return {"type": "function_call", **head, **call}
        content = [] if status == "in_progress" else [self._part(block, block.text, self._reader.logprobs)]
        if block.kind is BlockKind.THINKING:
            return {"type": "reasoning", **head, "summary": [], "content": content}
        return {"type": "message", **head, "role": "assistant", "content": content}

    def _part(self, block: Block, text: str, logprobs: Sequence[TokenLogprobs] = ()) -> dict[str, Any]:
        if block.kind is BlockKind.THINKING:
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": _plain(logprobs)}

    def _events(self, step: Step, logprobs: Sequence[TokenLogprobs]) -> Iterator[bytes]:
        block = step.block
        item = {"item_id": self._id(block), "output_index": block.index}
        is_call = block.kind is BlockKind.CALL
        part = item if is_call else {**item, "content_index": 0}
        name = {
            BlockKind.THINKING: "response.reasoning_text",
            BlockKind.TEXT: "response.output_text",
            BlockKind.CALL: "response.function_call_arguments",
        }[block.kind]
        is_text = block.kind is BlockKind.TEXT
        if isinstance(step, Opened):
            added = self._item(block, "in_progress")
            yield self._event("response.output_item.added", output_index=block.index, item=added)
            if not is_call:
                yield self._event("response.content_part.added", **part, part=self._part(block, ""))
        elif isinstance(step, Grown):
            more = {"logprobs": _plain(logprobs)} if is_text else {}
            yield self._event(f"{name}.delta", **part, delta=step.text, **more)
        elif isinstance(step, Closed):
            if is_call:
                yield self._event(f"{name}.done", **part, name=block.name, arguments=block.text)
            else:
                more = {"logprobs": _plain(self._reader.logprobs)} if is_text else {}
                yield self._event(f"{name}.done", **part, text=block.text, **more)
                done = self._part(block, block.text, self._reader.logprobs)
                yield self._event("response.content_part.done", **part, part=done)
            cut = self._reader.finish_reason == "length"
            item_done = self._item(block, self._status(cut=cut))
            yield self._event("response.output_item.done", output_index=block.index, item=item_done)

    def _id(self, block: Block) -> str:
        return f"{PREFIXES[block.kind]}_{self._key}{block.index}"

    def _event(self, kind: str, **more: Any) -> bytes:
        self._n_events += 1
        return event({"type": kind, "sequence_number": self._n_events - 1, **more}, kind)


def _plain(logprobs: Sequence[TokenLogprobs]) -> list[dict[str, Any]]:
    return [each.model_dump() for each in logprobs]
