"""What a server elsewhere lets be chosen of thinking: what the settings say of it, or what it tells by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localchat_ui.engine.thinking_support import (
    BY_EFFORT,
    EFFORT,
    NO_SUPPORT,
    SWITCH,
    USUAL_EFFORTS,
    ThinkingSupport,
    thinking_of,
)
from localchat_ui.settings import EngineSettings


def configured(settings: EngineSettings) -> ThinkingSupport:
    """What the settings say. The switch is the one that vLLM, SGLang and llama.cpp's server hand to the template."""
    return _support(can_switch=settings.thinking, efforts=settings.efforts)


def told_by_card(card: Mapping[str, Any]) -> ThinkingSupport:
    """What an entry of a list of models tells: `thinking` here, `supported_parameters` at OpenRouter."""
    said = card.get("thinking")
    if isinstance(said, dict):
        efforts = said.get("efforts")
        return _support(can_switch=said.get("switch") is True, efforts=efforts if isinstance(efforts, list) else ())
    parameters = card.get("supported_parameters")
    knows = isinstance(parameters, list) and EFFORT in parameters
    return _support(can_switch=False, efforts=USUAL_EFFORTS if knows else ())


def told_by_template(properties: Mapping[str, Any]) -> ThinkingSupport:
    """What the chat template that llama.cpp's server tells lets be chosen. It is rendered a few times."""
    template, bos, eos = (properties.get(name) for name in ("chat_template", "bos_token", "eos_token"))
    if not isinstance(template, str):
        return NO_SUPPORT
    support = thinking_of(template, bos if isinstance(bos, str) else "", eos if isinstance(eos, str) else "")
    return replace(support, has_budget=False)


def _support(*, can_switch: bool, efforts: Any) -> ThinkingSupport:
    known = tuple(effort for effort in BY_EFFORT if effort in efforts)
    if not can_switch and not known:
        return NO_SUPPORT
    switch, off, on = (SWITCH, False, True) if can_switch else ("", None, None)
    return ThinkingSupport(True, switch, off, on, efforts=known, has_budget=False)
