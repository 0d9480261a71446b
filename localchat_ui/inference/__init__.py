"""The one way from a request to tokens, wherever the model runs."""

from localchat_ui.inference.backend import QueueFullError
from localchat_ui.inference.generate import Inference
from localchat_ui.inference.local import LoadForecast
from localchat_ui.inference.metrics import Metrics
from localchat_ui.inference.model_defaults import ModelDefaults
from localchat_ui.inference.model_library import ModelLibrary
from localchat_ui.inference.model_ref import ModelRef
from localchat_ui.inference.model_status import ChoiceRefusedError, ModelStatus, Phase, UnknownModelError
from localchat_ui.inference.placement import Cost, Place
from localchat_ui.inference.registry import HOW_TO_ADD, ModelRegistry
from localchat_ui.inference.token_stream import TokenStream

__all__ = [
    "HOW_TO_ADD",
    "ChoiceRefusedError",
    "Cost",
    "Inference",
    "LoadForecast",
    "Metrics",
    "ModelDefaults",
    "ModelLibrary",
    "ModelRef",
    "ModelRegistry",
    "ModelStatus",
    "Phase",
    "Place",
    "QueueFullError",
    "TokenStream",
    "UnknownModelError",
]
