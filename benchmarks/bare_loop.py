"""The least Python loop over llama.cpp's low-level API, alone in its process: what the machine gives.

One batch with a token of every sequence, decode, sample, append. It has no text, no events, no options, no arrivals.
Prints a line of JSON: `tokens_per_second` of all sequences together, without the reading of their prompts, and
`characters_per_second`, those of the text that came of it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Sequence

import llama_cpp

from benchmarks.models import Model, silent

N_BATCH = 512


def measure(model: Model, *conversations: Sequence[dict[str, str]], n_tokens: int, n_threads: int) -> dict[str, float]:
    """Run this module as a process of its own, with a sequence for each conversation; what it printed."""
    command = [sys.executable, "-m", "benchmarks.bare_loop", str(model.path), str(n_tokens), str(n_threads)]
    done = subprocess.run(command, input=json.dumps(conversations), check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


class BareLoop:
    def __init__(self, path: str, n_sequences: int, n_ctx: int, n_threads: int) -> None:
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = n_sequences * n_ctx, n_sequences
        parameters.n_batch = parameters.n_ubatch = N_BATCH
        parameters.n_threads = parameters.n_threads_batch = n_threads
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        self.batch = llama_cpp.llama_batch_init(N_BATCH, 0, 1)
        self.sampler = llama_cpp.llama_sampler_init_greedy()

    def run(self, prompts: Sequence[Sequence[int]], n_tokens: int) -> tuple[float, list[list[int]]]:
        """Seconds for `n_tokens` of each sequence behind its first one, and the tokens."""
        replies: list[list[int]] = []
        for sequence, prompt in enumerate(prompts):
            for start in range(0, len(prompt), N_BATCH):
                part = prompt[start : start + N_BATCH]
                self.decode([(token, start + row, sequence) for row, token in enumerate(part)], all_logits=False)
            replies.append([llama_cpp.llama_sampler_sample(self.sampler, self.context, -1)])
        started = time.perf_counter()
        for step in range(n_tokens):
            self.decode([(reply[-1], len(prompts[s]) + step, s) for s, reply in enumerate(replies)], all_logits=True)
            for row, reply in enumerate(replies):
                reply.append(llama_cpp.llama_sampler_sample(self.sampler, self.context, row))
        return time.perf_counter() - started, [reply[1:] for reply in replies]

    def decode(self, entries: Sequence[tuple[int, int, int]], *, all_logits: bool) -> None:
        batch = self.batch
        for row, (token, position, sequence) in enumerate(entries):
            batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, position, 1
            batch.seq_id[row][0] = sequence
            batch.logits[row] = all_logits or row == len(entries) - 1
        batch.n_tokens = len(entries)
        if llama_cpp.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode failed")

    def tokens_of(self, conversation: Sequence[dict[str, str]]) -> list[int]:
        """As the model's own chat template has it; a base model reads what the user said."""
        text = self._templated(conversation) or "\n".join(m["content"] for m in conversation[1:]).encode()
        tokens = (llama_cpp.llama_token * (len(text) + 8))()
        n_tokens = llama_cpp.llama_tokenize(self.vocab, text, len(text), tokens, len(tokens), True, True)
        return list(tokens[:n_tokens])

    def text_of(self, tokens: Sequence[int]) -> str:
        piece = ctypes.create_string_buffer(256)
        sizes = (llama_cpp.llama_token_to_piece(self.vocab, token, piece, 256, 0, True) for token in tokens)
        return b"".join(piece.raw[:size] for size in sizes).decode(errors="replace")

    def _templated(self, conversation: Sequence[dict[str, str]]) -> bytes:
        template = llama_cpp.llama_model_chat_template(self.model, None)
        if not template:
            return b""
        said = [llama_cpp.llama_chat_message(m["role"].encode(), m["content"].encode()) for m in conversation]
        messages = (llama_cpp.llama_chat_message * len(said))(*said)
        buffer = ctypes.create_string_buffer(2 * sum(len(m["content"].encode()) for m in conversation) + 1000)
        size = llama_cpp.llama_chat_apply_template(template, messages, len(said), True, buffer, len(buffer))
        return buffer.raw[:size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="Conversations come as JSON on standard input.")
    parser.add_argument("model")
    parser.add_argument("n_tokens", type=int)
    parser.add_argument("n_threads", type=int)
    options = parser.parse_args()
    llama_cpp.llama_log_set(silent, None)
    conversations = json.load(sys.stdin)
    # Room for the prompts is found out by a model's own count; words are never shorter than a byte.
    n_ctx = max(sum(len(m["content"]) for m in said) for said in conversations) // 2 + options.n_tokens + 256
    loop = BareLoop(options.model, len(conversations), n_ctx, options.n_threads)
    seconds, replies = loop.run([loop.tokens_of(said) for said in conversations], options.n_tokens)
    n_characters = sum(len(loop.text_of(reply)) for reply in replies)
    n_tokens = sum(len(reply) for reply in replies)
    print(json.dumps({"tokens_per_second": n_tokens / seconds, "characters_per_second": n_characters / seconds}))


if __name__ == "__main__":
    main()
