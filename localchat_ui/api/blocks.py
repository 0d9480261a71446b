"""A reply as a row of blocks, one after the other: thinking, text, calls. Newer protocols are built so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from localchat_ui.api.replies import ChoiceReader
from localchat_ui.api.schemas import Delta, DeltaToolCall


class BlockKind(Enum):
    THINKING = auto()
    TEXT = auto()
    CALL = auto()


@dataclass
class Block:
    """`text` has grown so far: of a call it is the JSON of its arguments, and `name` and `call_id` are known."""

    kind: BlockKind
    index: int
    text: str = ""
    name: str = ""
    call_id: str = ""


@dataclass(frozen=True)
class Opened:
    block: Block


@dataclass(frozen=True)
class Grown:
    block: Block
    text: str


@dataclass(frozen=True)
class Closed:
    block: Block


Step = Opened | Grown | Closed


def blocks_of(reader: ChoiceReader) -> list[Block]:
    """The blocks of a reply that has ended."""
    blocks = BlockStream()
    calls = [
        DeltaToolCall.model_validate({"index": index, **call.model_dump()}) for index, call in enumerate(reader.calls)
    ]
    for _ in blocks.read(Delta(reasoning_content=reader.thinking, content=reader.text, tool_calls=calls)):
        pass
    return blocks.blocks


class BlockStream:
    """The blocks of a reply that grows. One is open at a time."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._open: Block | None = None

    def read(self, delta: Delta) -> Iterator[Step]:
        """The steps that are new with a delta."""
        for kind, text in ((BlockKind.THINKING, delta.reasoning_content), (BlockKind.TEXT, delta.content)):
            if text:
                yield from self._in(Block(kind, len(self.blocks)))
                yield self._grow(text)
        for call in delta.tool_calls or ():
            if call.id:
                block = Block(BlockKind.CALL, len(self.blocks), name=call.function.name or "", call_id=call.id)
                yield from self._begin(block)
            if call.function.arguments:
                yield self._grow(call.function.arguments)

    def finish(self) -> Iterator[Step]:
        """The steps that are left when the reply has ended."""
        if self._open is not None:
            yield Closed(self._open)
            self._open = None

    def _in(self, block: Block) -> Iterator[Step]:
        """Go on in the open block if it is of the same kind."""
        if self._open is None or self._open.kind is not block.kind:
            yield from self._begin(block)

    def _begin(self, block: Block) -> Iterator[Step]:
        yield from self.finish()
        self.blocks.append(block)
        self._open = block
        yield Opened(block)

    def _grow(self, text: str) -> Grown:
        assert self._open is not None
        self._open.text += text
        return Grown(self._open, text)
