"""Documents in the order in which they answer a query: /v1/rerank, as Jina, Cohere and llama.cpp's server have it."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from localchat_ui.api.backend import Backend
from localchat_ui.api.routes import ERRORS, router, while_connected
from localchat_ui.api.schemas import MAX_INPUTS, Body, Count, EmbeddingUsage, none
from localchat_ui.inference import Metrics


class RerankText(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: str


class RerankRequest(Body):
    """A query, and documents that may answer it."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"query": "What purrs?", "documents": ["a cat", "a car"], "top_n": 1}]},
    )

    query: str = Field(min_length=1)
    documents: Annotated[list[str | RerankText], Field(min_length=1, max_length=MAX_INPUTS)]
    model: str | None = Field(None, description="an installed reranker", examples=[None])
    top_n: Count | None = Field(None, description="only so many, the best first; left out, all")
    return_documents: bool = False


class RerankResult(BaseModel):
    """`relevance_score` is what the model says, the higher the better; it compares, and has no bounds."""

    index: int
    relevance_score: float
    document: RerankText | None = Field(None, exclude_if=none)


class RerankAnswer(BaseModel):
    object: str = "list"
    model: str
    results: list[RerankResult]
    usage: EmbeddingUsage


def register(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """POST /v1/rerank"""
    routes = router(metrics, "OpenAI's protocol")

    @routes.post("/v1/rerank", responses=ERRORS)
    async def rerank(body: RerankRequest, request: Request) -> RerankAnswer:
        """Order documents by how well they answer a query. Needs a reranker."""
        backend.inference.admit()
        model = await while_connected(request, backend.closing, backend.model_of(body.model))
        documents = [each if isinstance(each, str) else each.text for each in body.documents]
        work = backend.inference.rank(model, body.query, documents)
        ranking = await while_connected(request, backend.closing, work)
        order = sorted(range(len(documents)), key=lambda index: -ranking.scores[index])
        results = [
            RerankResult(
                index=index,
                relevance_score=ranking.scores[index],
                document=RerankText(text=documents[index]) if body.return_documents else None,
            )
            for index in order[: body.top_n]
        ]
        usage = EmbeddingUsage(prompt_tokens=ranking.n_tokens, total_tokens=ranking.n_tokens)
        return RerankAnswer(model=model.id, results=results, usage=usage)

    app.include_router(routes)
