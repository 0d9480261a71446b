"""What an engine promises, and the plain words it speaks: requests in, events out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from localchat_ui.conversation import GenerationStats, RequestOptions, Role, new_id
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.engine.thinking_support import NO_SUPPORT, ThinkingSupport

if TYPE_CHECKING:
    from localchat_ui.engine.tool_calls import CallDelta
    from localchat_ui.engine.tool_format import ToolFormat


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants to be called. `arguments` is what JSON can hold, usually an object."""

    name: str
    arguments: object
    id: str = ""


@dataclass(frozen=True)
class Turn:
    """One message as the model sees it. `thinking` is what the model thought before it answered so.

    The assistant's may ask for `tool_calls`; a tool's answers the one with its `tool_call_id`. `parts` are what it
    consists of, as OpenAI's protocol has them, if that is more than text: only servers elsewhere read those.
    """

    role: Role
    text: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    parts: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True)
class GenerationRequest:
    """One reply to be written. The last turn is answered; or, if it is the assistant's, goes on as if never broken off.

    `model` is the file to answer with, None the model in use. `template_arguments` reach the model's chat template
    (`enable_thinking` and `reasoning_effort` under its own names; `tools` as OpenAI's protocol gives them). `may_drop`
    lets the oldest turns leave when not all fit. The reply has to be a call of one of the tools named in `must_call`,
    if there are any, or of several; those named in `strict` are called with arguments that obey their schemas, and
    one in a turn at most unless it `may_call_several`. A `prompt`, if there is one, is read as it is instead of turns:
    text or tokens. With a `suffix` the reply is what stands between the two. What is `ephemeral` is written behind what
    the KV cache holds of its conversation, and leaves it as it was; without such a sequence it is refused.
    """

    turns: Sequence[Turn]
    sampling: RequestOptions = field(default_factory=RequestOptions)
    stop: tuple[str, ...] = ()
    model: Path | None = None
    template_arguments: Mapping[str, object] = field(default_factory=dict)
    may_drop: bool = True
    must_call: tuple[str, ...] = ()
    strict: frozenset[str] = frozenset()
    may_call_several: bool = True
    prompt: str | Sequence[int] | None = None
    suffix: str | None = None
    ephemeral: bool = False
    id: str = field(default_factory=new_id)


@dataclass(frozen=True)
class PromptBuilt:
    """The first event: what the model will read. `turn_tokens` counts every turn of the request, template included.

    The `n_dropped` oldest turns behind the system turn did not fit into the context and are not read. `text` is what is
    read, with the words of the template. `notes` tell people what was done to the roles, and which messages
    the template leaves out. Calls in the reply are written in `tool_format`. With `is_estimate` nobody counted the
    tokens.
    """

    n_tokens: int
    n_dropped: int
    turn_tokens: tuple[int, ...]
    text: str = ""
    notes: tuple[str, ...] = ()
    tool_format: ToolFormat | None = None
    is_estimate: bool = False


@dataclass(frozen=True)
class Queued:
    """All sequences are busy; `place` 1 is next."""

    place: int


@dataclass(frozen=True)
class PromptProgress:
    """So many of the prompt's tokens have been read."""

    read: int
    total: int


@dataclass(frozen=True)
class TokenLogprob:
    """One token that could have been chosen. Its bytes may be part of a character."""

    id: int
    piece: bytes
    logprob: float


@dataclass(frozen=True)
class Token:
    """A piece of the reply: whole characters, and never part of a stop string. May be empty.

    `thinking` is what the model writes between its marks before it answers, and no part of `text`. `logprob` and `top`,
    the likeliest alternatives, are natural logarithms; they and `piece`, the bytes of this very token, are given only
    where they were asked for.
    """

    text: str
    id: int
    thinking: str = ""
    logprob: float | None = None
    top: tuple[TokenLogprob, ...] = ()
    piece: bytes = b""
    calls: tuple[CallDelta, ...] = ()


@dataclass(frozen=True)
class GenerationDone:
    """The reply is finished; `stats.finish_reason` is `stop`, `length` or `cancelled`.

    `text` and `thinking` were still held back. `stop_string` is what the reply was to stop at, if it did.
    """

    text: str
    stats: GenerationStats
    thinking: str = ""
    stop_string: str = ""


FailureKind = Literal["failed", "refused", "unavailable", "overloaded", "timeout"]


@dataclass(frozen=True)
class GenerationFailed:
    """The request ended with an error; `message` is for people. `n_tokens` were computed for it all the same.

    `refused`: what it asked for cannot be done. The other kinds are those of servers elsewhere.
    """

    message: str
    kind: FailureKind = "failed"
    n_tokens: int = 0


Event = PromptBuilt | Queued | PromptProgress | Token | GenerationDone | GenerationFailed
Emit = Callable[[Event], None]


class EngineError(Exception):
    """Something the person at the page should read; the text says what to do."""


class ModelLoadError(EngineError):
    """The file could not be loaded; the model in use before stays in use."""


class NoModelError(EngineError):
    """There is no model loaded that could answer."""


class PromptTooLongError(EngineError):
    """What is to be read does not fit into the context; both are counted in tokens."""

    def __init__(self, message: str, n_tokens: int = 0, n_ctx: int = 0) -> None:
        super().__init__(message)
        self.n_tokens = n_tokens
        self.n_ctx = n_ctx


@dataclass(frozen=True)
class Embeddings:
    """One vector of length 1 for each text, and the tokens of all texts together."""

    vectors: list[list[float]]
    n_tokens: int


@dataclass(frozen=True)
class Ranking:
    """How well each document answers a query, as a number that only compares, and the tokens of all together."""

    scores: list[float]
    n_tokens: int


@dataclass(frozen=True)
class VocabularyToken:
    """Its bytes may be part of a character."""

    id: int
    piece: bytes


@dataclass(frozen=True)
class LoadedModel:
    """The model in use: its file, the context of one conversation in tokens, and what can be chosen of its thinking.

    It has room for `parallel` conversations at a time and computes in `n_threads`.
    """

    path: Path
    n_ctx: int
    n_ctx_train: int
    has_chat_template: bool
    thinking: ThinkingSupport = NO_SUPPORT
    parallel: int = 1
    n_threads: int = 1


@dataclass(frozen=True)
class EngineFigures:
    """What the engine is doing. Cells are tokens of KV cache; `batch_fill` is the share of recent batches, 0 to 1.

    `models` are in memory and take `sizes` bytes, of which `unused_bytes` are needed by nobody at this moment.
    """

    running: int = 0
    waiting: int = 0
    kv_cells_used: int = 0
    kv_cells: int = 0
    batch_fill: float = 0.0
    models: tuple[Path, ...] = ()
    unused_bytes: int = 0
    sizes: tuple[int, ...] = ()


class Engine(Protocol):
    """Loads models and writes replies with them. Every method may be called from any thread."""

    @property
    def model(self) -> LoadedModel | None:
        """The model that answers requests that name none. It may have left memory, and comes back when it is needed."""

    @property
    def figures(self) -> EngineFigures:
        """What is going on right now."""

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        """Load a GGUF file, then answer new requests with it; blocks for the whole load.

        The model in use before goes on until then, and finishes the replies it has begun.
        `on_progress` gets shares of 1. Raises ModelLoadError.
        """

    def configure(self, path: Path, changes: LoadChanges) -> None:
        """How this file is loaded from now on. If it is in memory it stays as it is until `load`."""

    def holds(self, path: Path) -> bool:
        """Whether the model of this file is in memory as it would be loaded now."""

    def leaving(self, path: Path) -> tuple[Path, ...]:
        """The files whose models would leave memory for this one, as far as nobody needs them at this moment."""

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Queue a request. Its events reach `emit` on the engine's thread; the last is Done or Failed, exactly once.

        Blocks while the prompt is turned into tokens and a grammar compiled (milliseconds), and before that while its
        model is loaded if it is not in memory (seconds). Raises EngineError when it cannot begin.
        """

    def preview(self, request: GenerationRequest) -> PromptBuilt:
        """What the model would read for this request; blocks and raises as `submit` does."""

    def embed(
        self, texts: Sequence[str | Sequence[int]], model: Path | None = None, *, request_id: str = ""
    ) -> Embeddings:
        """The meaning of each text (or its tokens) as a vector, computed between the steps of the replies; blocks.

        Raises EngineError when the model has none to give, when it was cancelled by its `request_id`, or at `close`.
        """

    def rank(self, query: str, documents: Sequence[str], model: Path | None = None, *, request_id: str = "") -> Ranking:
        """How well each document answers the query, by a reranker; blocks and raises as `embed` does."""

    def tokenize(
        self, text: str, model: Path | None = None, *, add_special: bool = False, parse_special: bool = True
    ) -> list[VocabularyToken]:
        """The tokens of a text. `add_special` puts those in front that the model expects there; `parse_special` takes
        control tokens that are written out for what they stand for. Blocks and raises as `preview` does.
        """

    def detokenize(self, tokens: Sequence[int], model: Path | None = None) -> str:
        """The text of tokens. Blocks and raises as `preview` does."""

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        """Let a running request go on with other options; the next token obeys. Unknown ids are ignored.

        What the reply has to look like (`grammar`, `json_schema`) stays what it was submitted with.
        """

    def cancel(self, request_id: str) -> None:
        """Stop a request at the next step; it ends with `cancelled`. Unknown ids are ignored."""

    def make_room(self, path: Path | None = None) -> None:
        """Let all models, or the one of this file, leave memory that are needed by nobody at this moment; the one in
        use comes back on demand."""

    def close(self) -> None:
        """End all requests, the thread and the models. Blocks until they are gone."""
