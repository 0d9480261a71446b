"""How one model is loaded in another way than all the others."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

SMALLEST_CONTEXT = 256
LONGEST_TEMPLATE = 200_000


class LoadChanges(BaseModel):
    """None leaves what the settings of the same names say for all models; an `n_ctx` of 0 is what it was trained for.

    `chat_template` is the template itself.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    n_ctx: int | None = Field(None, ge=0, le=16_777_216)
    parallel: int | None = Field(None, ge=1, le=64)
    n_threads: int | None = Field(None, ge=1, le=1024)
    n_gpu_layers: int | None = Field(None, ge=-1, le=10_000)
    kv_type: Literal["f16", "q8_0"] | None = None
    chat_template: str | None = Field(None, min_length=1, max_length=LONGEST_TEMPLATE)

    @field_validator("n_ctx")
    @classmethod
    def _usable_context(cls, value: int | None) -> int | None:
        if value is not None and 0 < value < SMALLEST_CONTEXT:
            raise ValueError(f"use 0 or at least {SMALLEST_CONTEXT}")
        return value


NO_CHANGES = LoadChanges()
