"""The meaning of texts as vectors, or how well they answer a query: computed by the engine's thread between its steps,
a bounded batch at a time."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence

import llama_cpp
import numpy as np
import numpy.typing as npt

from localchat_ui.engine.adapters import attach
from localchat_ui.engine.base import EngineError
from localchat_ui.engine.llama import Model, errors_of_this_thread
from localchat_ui.engine.template import quoted_value, tokenize

# A reply that is written beside it waits for so many tokens at a time.
BATCH = 128
NONE, MEAN = llama_cpp.LLAMA_POOLING_TYPE_NONE, llama_cpp.LLAMA_POOLING_TYPE_MEAN
RANK = llama_cpp.LLAMA_POOLING_TYPE_RANK

Vector = npt.NDArray[np.float32]


class Embedder:
    """Computes a vector of length 1 for each text. `step` does a part of the work; `vectors` grows meanwhile.

    Where it `ranks`, a text is a query with a document, and a vector what the model's classifier says of it.
    """

    def __init__(self, model: Model, texts: Sequence[Sequence[int]], *, n_threads: int, ranks: bool = False) -> None:
        self.vectors: list[list[float]] = []
        self._model = model
        self._texts = texts
        self._n_threads = n_threads
        self._ranks = ranks
        self._steps = self._run()

    def step(self) -> bool:
        """Compute one batch; False when all is done. Raises EngineError when the model has no such vectors."""
        return next(self._steps, None) is not None

    def close(self) -> None:
        self._steps.close()

    def _run(self) -> Generator[int, None, None]:
        """Yields the tokens of each batch behind it."""
        metadata, architecture = self._model.metadata, self._model.metadata.get("general.architecture", "")
        # Made to chat, not to compare texts: the mean over its tokens is what there is.
        pooling = RANK if self._ranks else int(metadata.get(f"{architecture}.pooling_type", MEAN))
        # What looks at both sides of a word has to see all of a text at once, and so has what judges it as a whole.
        whole = self._ranks or metadata.get(f"{architecture}.attention.causal") == "false"
        longest = max(len(tokens) for tokens in self._texts)
        averages = pooling == MEAN and not whole
        handle = self._open(longest, longest if whole else min(BATCH, longest), NONE if averages else pooling)
        try:
            for tokens in self._texts:
                parts = []
                for start in range(0, len(tokens), longest if whole else BATCH):
                    batch = tokens[start : start + (longest if whole else BATCH)]
                    parts.append(self._decode(handle, batch, start, each_token=averages))
                    yield len(batch)
                vector = np.concatenate(parts).mean(axis=0) if averages else parts[-1][0]
                self.vectors.append([float(value) for value in (vector if self._ranks else _normalised(vector))])
                _clear(handle)
        finally:
            llama_cpp.llama_free(handle)

    def _open(self, n_ctx: int, n_batch: int, pooling: int) -> llama_cpp.llama_context_p:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = n_ctx
        parameters.n_batch = parameters.n_ubatch = n_batch
        parameters.n_seq_max = 1
        parameters.n_threads = parameters.n_threads_batch = self._n_threads
        parameters.embeddings = True
        parameters.pooling_type = pooling
        parameters.no_perf = True
        with errors_of_this_thread() as errors:
            handle: llama_cpp.llama_context_p | None = llama_cpp.llama_init_from_model(self._model.handle, parameters)
        if not handle:
            raise EngineError(self._refusal((errors or ["llama.cpp gave no reason"])[0]))
        attach(self._model, handle)
        if llama_cpp.llama_pooling_type(handle) == RANK and not self._ranks:
            llama_cpp.llama_free(handle)
            raise EngineError(self._refusal("it has no vector for a whole text."))
        return handle

    def _decode(
        self, handle: llama_cpp.llama_context_p, tokens: Sequence[int], position: int, *, each_token: bool
    ) -> Vector:
        """Vectors of these tokens, of which those before `position` were decoded: a row each, or one for the text."""
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        try:
            batch.n_tokens = len(tokens)
            for row, token in enumerate(tokens):
                batch.token[row], batch.pos[row] = token, position + row
                batch.n_seq_id[row], batch.seq_id[row][0], batch.logits[row] = 1, 0, 1
            code = llama_cpp.llama_decode(handle, batch)
        finally:
            llama_cpp.llama_batch_free(batch)
        rows = llama_cpp.llama_get_embeddings(handle) if each_token else llama_cpp.llama_get_embeddings_seq(handle, 0)
        if code != 0 or not rows:
            raise EngineError(self._refusal(f"llama.cpp cannot compute them (code {code})."))
        width = llama_cpp.llama_model_n_cls_out if self._ranks else llama_cpp.llama_model_n_embd
        shape = (len(tokens) if each_token else 1, width(self._model.handle))
        vectors: Vector = np.ctypeslib.as_array(rows, shape=shape).copy()
        return vectors

    def _refusal(self, reason: str) -> str:
        return f"{self._model.path.stem} gives no {'scores' if self._ranks else 'embeddings'}: {reason}"


def pair_of(model: Model, query: str, document: str) -> list[int]:
    """What a reranker reads of a query and a document: what its template says, else both between their marks."""
    if template := model.metadata.get("tokenizer.chat_template.rerank"):
        # What people write steers nothing.
        given = {"query": str(quoted_value(model, query)), "document": str(quoted_value(model, document))}
        text = re.sub(r"\{(query|document)\}", lambda name: given[name[1]], template)
        return tokenize(model, text, whole=False)
    vocab = model.vocab
    eos, separator = llama_cpp.llama_vocab_eos(vocab), llama_cpp.llama_vocab_sep(vocab)
    end = [eos if eos >= 0 else separator] if llama_cpp.llama_vocab_get_add_eos(vocab) else []
    between = [separator] if llama_cpp.llama_vocab_get_add_sep(vocab) else []
    # BERT has no other end than its separator, and was trained with one behind the document.
    last = end or between
    begin = [llama_cpp.llama_vocab_bos(vocab)] if model.adds_bos else []
    first, second = model.tokenize(query, as_text=True), model.tokenize(document, as_text=True)
    return [*begin, *first, *end, *between, *second, *last]


def _clear(handle: llama_cpp.llama_context_p) -> None:
    if memory := llama_cpp.llama_get_memory(handle):
        llama_cpp.llama_memory_clear(memory, False)


def _normalised(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return vector / length if length else vector
