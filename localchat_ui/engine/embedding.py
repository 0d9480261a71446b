"""The meaning of texts as vectors, in contexts of their own beside all generating."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import llama_cpp
import numpy as np

from localchat_ui.engine.base import EngineError
from localchat_ui.engine.llama import Model, errors_of_this_thread

NO_EMBEDDING = (llama_cpp.LLAMA_POOLING_TYPE_NONE, llama_cpp.LLAMA_POOLING_TYPE_RANK)


def embed(
    model: Model, texts: Sequence[Sequence[int]], *, n_threads: int, go_on: Callable[[], bool]
) -> list[list[float]]:
    """A vector of length 1 for each text, in a context of its own. `go_on` is asked before each; fewer come when it
    says no. Raises EngineError when the model has no such vectors."""
    architecture = model.metadata.get("general.architecture", "")
    parameters = llama_cpp.llama_context_default_params()
    # All of a text has to be in one batch to be summed up.
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = max(len(tokens) for tokens in texts)
    parameters.n_seq_max = 1
    parameters.embeddings = True
    parameters.no_perf = True
    if f"{architecture}.pooling_type" not in model.metadata:
        # Made to chat, not to compare texts: the mean over its tokens is what there is.
        parameters.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN
    with errors_of_this_thread() as errors:
        handle = llama_cpp.llama_init_from_model(model.handle, parameters)
    if not handle:
        raise EngineError(f"{model.path.stem} gives no embeddings: {(errors or ['llama.cpp gave no reason'])[0]}")
    try:
        if llama_cpp.llama_pooling_type(handle) in NO_EMBEDDING:
            raise EngineError(f"{model.path.stem} gives no embeddings: it has no vector for a whole text.")
        llama_cpp.llama_set_n_threads(handle, n_threads, n_threads)
        return [_embed_one(model, handle, tokens) for tokens in texts if go_on()]
    finally:
        llama_cpp.llama_free(handle)


def _embed_one(model: Model, handle: llama_cpp.llama_context_p, tokens: Sequence[int]) -> list[float]:
    memory = llama_cpp.llama_get_memory(handle)
    if memory:
        llama_cpp.llama_memory_clear(memory, True)
    row = (llama_cpp.llama_token * len(tokens))(*tokens)
    code = llama_cpp.llama_decode(handle, llama_cpp.llama_batch_get_one(row, len(tokens)))
    values = llama_cpp.llama_get_embeddings_seq(handle, 0) if code == 0 else None
    if not values:
        raise EngineError(f"{model.path.stem} gives no embeddings: llama.cpp cannot compute them (code {code}).")
    vector = np.ctypeslib.as_array(values, shape=(llama_cpp.llama_model_n_embd(model.handle),)).astype(np.float64)
    length = float(np.linalg.norm(vector))
    return [float(value) for value in (vector / length if length else vector)]
