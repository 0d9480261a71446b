"""What pages and programs are told of the models: how far a load or a download is, and why something was refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from localchat_ui.engine.base import EngineError
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.library.download import Progress


class Phase(str, Enum):
    STARTING = "starting"
    LOADING = "loading"
    DOWNLOADING = "downloading"
    READY = "ready"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True)
class ModelStatus:
    """What the page shows of the models.

    `model` answers now; `target` is on its way into memory and `share` of it, 0 to 1, is there; `download` is how far a
    download is. `error` says, for people, why the last attempt failed.
    """

    phase: Phase
    model: ModelRef | None = None
    target: ModelRef | None = None
    share: float = 0.0
    download: Progress | None = None
    error: str | None = None


class UnknownModelError(EngineError):
    """No installed model is called so."""


class ChoiceRefusedError(EngineError):
    """Whoever asks may not change the model that answers everybody."""
