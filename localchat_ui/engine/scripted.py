"""An engine that replays scripted replies, for tests and demos: what a model cannot be made to do on command."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from localchat_ui.conversation import GenerationStats, RequestOptions
from localchat_ui.engine.base import (
    Embeddings,
    Emit,
    EngineError,
    EngineFigures,
    GenerationDone,
    GenerationFailed,
    GenerationRequest,
    LoadedModel,
    ModelLoadError,
    NoModelError,
    PromptBuilt,
    Ranking,
    Token,
    VocabularyToken,
)
from localchat_ui.engine.load_changes import LoadChanges
from localchat_ui.engine.thinking_support import NO_SUPPORT


class ScriptedEngine:
    """Answers each request with the next script: perhaps thinking, pieces of text, then perhaps an error."""

    def __init__(self, *, seconds_per_token: float = 0.0) -> None:
        self.requests: list[GenerationRequest] = []
        self.changes: list[tuple[str, RequestOptions]] = []
        self.seconds_per_token = seconds_per_token
        self.load_error: str | None = None
        self.thinking = NO_SUPPORT
        self.notes: tuple[str, ...] = ()
        self._scripts: deque[tuple[Sequence[str], str | None, str]] = deque()
        self._cancelled: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._model: LoadedModel | None = None
        self._closed = False

    def enqueue(self, *pieces: str, error: str | None = None, thinking: str = "") -> None:
        """Script the next reply. Without a script the engine repeats the question."""
        self._scripts.append((pieces, error, thinking))

    @property
    def model(self) -> LoadedModel | None:
        return self._model

    def load(self, path: Path, on_progress: Callable[[float], None]) -> LoadedModel:
        for share in (0.0, 0.5, 1.0):
            on_progress(share)
            time.sleep(self.seconds_per_token)
        if self.load_error:
            raise ModelLoadError(self.load_error)
        self._closed = False
        self._model = LoadedModel(path, 4096, 4096, has_chat_template=True, thinking=self.thinking)
        return self._model

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        if self._model is None or self._closed:
            raise NoModelError("No model is loaded. Choose one in the header.")
        self.requests.append(request)
        text = request.turns[-1].text if request.prompt is None else str(request.prompt)
        script = self._scripts.popleft() if self._scripts else (re.findall(r"\s*\S+", text), None, "")
        thread = threading.Thread(target=self._play, args=(request, emit, *script), name="scripted engine")
        self._threads.append(thread)
        thread.start()

    @property
    def figures(self) -> EngineFigures:
        return EngineFigures(running=sum(thread.is_alive() for thread in self._threads))

    def preview(self, request: GenerationRequest) -> PromptBuilt:
        """Counts words for tokens."""
        text = "\n".join(turn.text for turn in request.turns)
        sizes = tuple(len(turn.text.split()) for turn in request.turns)
        return PromptBuilt(sum(sizes), 0, sizes, text)

    def configure(self, path: Path, changes: LoadChanges) -> None:
        """A script is always loaded in the same way."""

    def holds(self, path: Path) -> bool:
        return self._model is not None and self._model.path == path

    def leaving(self, path: Path) -> tuple[Path, ...]:
        return ()

    def embed(
        self, texts: Sequence[str | Sequence[int]], model: Path | None = None, *, request_id: str = ""
    ) -> Embeddings:
        """A script has no meaning."""
        raise EngineError("The scripted engine gives no embeddings.")

    def rank(self, query: str, documents: Sequence[str], model: Path | None = None, *, request_id: str = "") -> Ranking:
        """A script judges nothing."""
        raise EngineError("The scripted engine gives no scores.")

    def tokenize(
        self, text: str, model: Path | None = None, *, add_special: bool = False, parse_special: bool = True
    ) -> list[VocabularyToken]:
        """Its tokens are characters."""
        return [VocabularyToken(ord(character), character.encode()) for character in text]

    def detokenize(self, tokens: Sequence[int], model: Path | None = None) -> str:
        return "".join(map(chr, tokens))

    def change(self, request_id: str, sampling: RequestOptions) -> None:
        self.changes.append((request_id, sampling))

    def cancel(self, request_id: str) -> None:
        self._cancelled.add(request_id)

    def make_room(self, path: Path | None = None) -> None:
        """There is always room for a script."""

    def close(self) -> None:
        self._closed = True
        self._cancelled.update(request.id for request in self.requests)
        for thread in self._threads:
            thread.join()

    def _play(
        self, request: GenerationRequest, emit: Emit, pieces: Sequence[str], error: str | None, thinking: str
    ) -> None:
        stats = GenerationStats(
            finish_reason="stop", prompt_tokens=len(request.turns), tokens_per_second=100.0, notes=self.notes
        )
        written = 0
        if thinking:
            emit(Token("", 0, thinking))
            stats = stats.model_copy(update={"thinking_seconds": 1.5})
        for piece in pieces:
            if written == request.sampling.max_tokens:
                stats = stats.model_copy(update={"finish_reason": "length"})
                break
            time.sleep(self.seconds_per_token)
            if request.id in self._cancelled:
                stats = stats.model_copy(update={"finish_reason": "cancelled"})
                break
            emit(Token(piece, written))
            written += 1
        if error and stats.finish_reason == "stop":
            emit(GenerationFailed(error))
            return
        counts = {"reply_tokens": written, "context_tokens": stats.prompt_tokens + written}
        emit(GenerationDone("", stats.model_copy(update=counts)))
