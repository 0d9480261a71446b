"""Tokens and templates as llama.cpp's server shows them: /tokenize, /detokenize, /apply-template."""

from __future__ import annotations

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from localchat_ui.api.backend import Backend
from localchat_ui.api.requests import chat_requests
from localchat_ui.api.routes import ERRORS, router, while_connected
from localchat_ui.api.schemas import Body, ChatCompletionRequest, TokenId
from localchat_ui.engine.base import VocabularyToken
from localchat_ui.inference import Metrics

MODEL = Field(None, description="an installed model; left out, the model in use", examples=[None])


class TokenizeRequest(Body):
    model_config = ConfigDict(extra="ignore", json_schema_extra={"examples": [{"content": "Hello"}]})

    content: str
    model: str | None = MODEL
    add_special: bool = Field(False, description="put the tokens in front that the model expects there")
    parse_special: bool = Field(True, description="control tokens written out in the text are taken for such")
    with_pieces: bool = Field(False, description="tell the text of each token")


class TokenPiece(BaseModel):
    """`piece` is a list of bytes where it is no whole character."""

    id: int
    piece: str | list[int]


class TokenList(BaseModel):
    tokens: list[int] | list[TokenPiece]


class DetokenizeRequest(Body):
    model_config = ConfigDict(extra="ignore", json_schema_extra={"examples": [{"tokens": [19556]}]})

    tokens: list[TokenId]
    model: str | None = MODEL


class DetokenizedText(BaseModel):
    content: str


class RenderedPrompt(BaseModel):
    prompt: str


def register(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """POST /tokenize, /detokenize and /apply-template"""
    routes = router(metrics, "Tokens")

    @routes.post("/tokenize", responses=ERRORS)
    async def tokenize(body: TokenizeRequest, request: Request) -> TokenList:
        """The tokens of a text."""
        model = await while_connected(request, backend.closing, backend.model_of(body.model))
        work = backend.inference.tokenize(
            model, body.content, add_special=body.add_special, parse_special=body.parse_special
        )
        tokens = await while_connected(request, backend.closing, work)
        return TokenList(tokens=list(map(_piece, tokens)) if body.with_pieces else [token.id for token in tokens])

    @routes.post("/detokenize", responses=ERRORS)
    async def detokenize(body: DetokenizeRequest, request: Request) -> DetokenizedText:
        """The text of tokens."""
        model = await while_connected(request, backend.closing, backend.model_of(body.model))
        work = backend.inference.detokenize(model, body.tokens)
        return DetokenizedText(content=await while_connected(request, backend.closing, work))

    @routes.post("/apply-template", responses=ERRORS)
    async def apply_template(body: ChatCompletionRequest, request: Request) -> RenderedPrompt:
        """What a model would read for a chat completion."""
        model = await while_connected(request, backend.closing, backend.writer_of(body.model))
        [asked, *_], _ = chat_requests(body, backend.chat.defaults.of_programs(model))
        built = await while_connected(request, backend.closing, backend.inference.preview(model, asked))
        return RenderedPrompt(prompt=built.text)

    app.include_router(routes)


def _piece(token: VocabularyToken) -> TokenPiece:
    try:
        return TokenPiece(id=token.id, piece=token.piece.decode())
    except UnicodeDecodeError:
        return TokenPiece(id=token.id, piece=list(token.piece))
