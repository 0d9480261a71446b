"""A server of OpenAI's protocol that does what it is told, also what no good server does."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

Chunks = list[dict[str, Any] | str | float]


class Stub:
    """`chunks` are what a reply is made of: a chunk of it, other text to send, or seconds to wait.

    `answer` is asked before, with the request's body, and may answer something else.
    """

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = [{"id": "one", "max_model_len": 1000}, {"id": "two"}]
        self.chunks: Chunks = [*said("Hel", "lo."), ending(), "[DONE]"]
        self.answer: Callable[[dict[str, Any]], Response | None] = lambda body: None
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.counts_tokens = False
        self.properties: dict[str, Any] | None = None
        self.left = threading.Event()
        self.url = ""
        self.app = FastAPI()
        self.app.get("/v1/models")(self._list)
        self.app.post("/v1/chat/completions")(self._reply)
        self.app.post("/v1/completions")(self._reply)
        self.app.post("/v1/embeddings")(self._embed)
        self.app.post("/tokenize")(self._tokenize)
        self.app.get("/props")(self._tell)

    async def _list(self, request: Request) -> Response:
        self.keys.append(request.headers["authorization"])
        return JSONResponse({"object": "list", "data": [{"object": "model", **model} for model in self.models]})

    async def _tell(self) -> Response:
        return JSONResponse(self.properties) if self.properties else Response(status_code=404)

    async def _reply(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        if (other := self.answer(body)) is not None:
            return other

        async def stream() -> AsyncIterator[str]:
            try:
                for chunk in self.chunks:
                    if isinstance(chunk, float):
                        await asyncio.sleep(chunk)
                    else:
                        yield f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n"
            finally:
                self.left.set()

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def _embed(self, request: Request) -> Response:
        body = await request.json()
        data = [{"object": "embedding", "index": n, "embedding": [3.0, 4.0]} for n in range(len(body["input"]))]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        return JSONResponse({"object": "list", "model": body["model"], "data": data, "usage": usage})

    async def _tokenize(self, request: Request) -> Response:
        if not self.counts_tokens:
            return JSONResponse({"error": "no"}, 404)
        return JSONResponse({"tokens": list((await request.json())["content"].split())})

    @contextmanager
    def running(self, port: int = 0) -> Iterator[Stub]:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            self.url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
            config = uvicorn.Config(self.app, log_level="error", timeout_graceful_shutdown=1, lifespan="off")
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, args=([sock],))
            thread.start()
            while not server.started:
                time.sleep(0.01)
            try:
                yield self
            finally:
                server.should_exit = True
                thread.join(10)


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, **more}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "one", "choices": [choice]}


def said(*pieces: str) -> Chunks:
    return [chunk({"content": piece}) for piece in pieces]


def ending(reason: str = "stop", prompt_tokens: int = 11, completion_tokens: int = 2) -> dict[str, Any]:
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    return {**chunk({}, reason), "usage": usage}
