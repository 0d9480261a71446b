"""Whether the program lives and can answer, and its figures for Prometheus."""

from __future__ import annotations

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from localchat_ui.api.routes import router
from localchat_ui.inference import Metrics, ModelRegistry


class Health(BaseModel):
    """`ready` says whether a model is loaded; `model` is the one in use."""

    status: str = Field("ok", examples=["ok"])
    ready: bool
    model: str | None = Field(examples=["SmolLM2-135M-Instruct.Q4_1"])


def register(app: FastAPI, models: ModelRegistry, metrics: Metrics) -> None:
    """GET /healthz, GET /metrics"""
    routes = router(metrics, "Operation")

    @routes.head("/healthz", include_in_schema=False)
    @routes.get(
        "/healthz", response_model=Health, responses={503: {"model": Health, "description": "Not ready, if asked for"}}
    )
    async def healthz(ready: bool = False) -> Response:
        """Answers 200 while the program lives. With `?ready=1` it answers 503 until a model is loaded."""
        model = models.current
        health = Health(ready=model is not None, model=model.id if model else None)
        return JSONResponse(health.model_dump(), 503 if ready and model is None else 200)

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def figures() -> Response:
        """Figures of the engine and of all replies, in the text format of Prometheus."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.include_router(routes)
