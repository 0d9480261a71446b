"""Whether and how much a model thinks: found in templates of many makers, and said in their words."""

# ruff: noqa: E501
from __future__ import annotations

from typing import Any

import pytest

from localchat_ui.engine.thinking_support import NO_SUPPORT, ThinkingSupport, thinking_of

SAYS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
EFFORTS = ("low", "medium", "high")
FOUND: list[tuple[str, str, tuple[Any, ...]]] = [
    (
        "Qwen 3, GLM, SmolLM3, Nemotron",
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}",
        ("enable_thinking", True, ()),
    ),
    (
        "off unless it is asked for",
        "{% if enable_thinking %}<think>{% else %}<think></think>{% endif %}",
        ("enable_thinking", False, ()),
    ),
    (
        "DeepSeek V3.1",
        "{% if not thinking is defined %}{% set thinking = false %}{% endif %}{{ '<think>' if thinking else '</think>' }}",
        ("thinking", False, ()),
    ),
    (
        "Granite 3",
        "{% if thinking %}Respond between <think></think> and <response></response>.{% endif %}",
        ("thinking", False, ()),
    ),
    (
        "Command A Reasoning",
        "{% if reasoning is defined and not reasoning %}<|START_THINKING|><|END_THINKING|>{% endif %}",
        ("reasoning", True, ()),
    ),
    (
        "MiniMax M3",
        "{% if thinking_mode == 'disabled' %}<mm:think></mm:think>{% elif thinking_mode == 'enabled' %}<mm:think>{% endif %}",
        ("thinking_mode", True, ()),
    ),
    ("Seed-OSS", "{% if thinking_budget == 0 %}<seed:think></seed:think>{% endif %}", ("thinking_budget", True, ())),
    (
        "gpt-oss",
        "{% if not reasoning_effort %}{% set reasoning_effort = 'medium' %}{% endif %}Reasoning: {{ reasoning_effort }}"
        "{#<|channel|>analysis<|message|><|channel|>final<|message|>#}",
        ("", True, EFFORTS),
    ),
    (
        "words of its own",
        "{% set e = reasoning_effort or 'high' %}{% if e in ('minimal', 'low') %}a{% elif e == 'medium' %}b"
        "{% else %}c{% endif %}<think>",
        ("", True, EFFORTS),
    ),
    (
        "Mistral Small 4",
        "{% set e = reasoning_effort or 'none' %}{% if e not in ('none', 'high') %}{{ raise_exception('no') }}{% endif %}"
        "{{ e }}[THINK]",
        ("reasoning_effort", False, ()),
    ),
    (
        "both",
        "{% if enable_thinking is not defined or enable_thinking %}<think>{% if reasoning_effort == 'high' %}hard"
        "{% elif reasoning_effort == 'low' %}little{% endif %}{% else %}</think>{% endif %}",
        ("enable_thinking", True, EFFORTS),
    ),
    (
        "words in a table",
        "{% if enable_thinking is not defined or enable_thinking %}t{{ {'low': 'a', 'high': 'b'}[reasoning_effort] }}"
        "{% endif %}<think>",
        ("enable_thinking", True, EFFORTS),
    ),
    ("always", "<think>\n", ("", True, ())),
]  # fmt: skip


@pytest.mark.parametrize(("template", "expected"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND])
def test_what_a_template_lets_be_chosen_is_found(template: str, expected: tuple[Any, ...]):
    support = support_of(template)
    assert support.thinks
    assert (support.switch, support.on_by_default, support.efforts) == expected


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{# enable_thinking and reasoning_effort are only spoken of #}",
        "{% set enable_thinking = true %}{% if enable_thinking %}x{% endif %}",
        "{{ raise_exception('refused') }}{% if enable_thinking %}x{% endif %}",
        "{% for n in range(99999999) %}{{ enable_thinking }}{% endfor %}",
    ],
)
def test_a_template_without_a_choice_offers_none(template: str):
    assert support_of(template) == NO_SUPPORT


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("DeepSeek V3.1", {"enable_thinking": True}, {"enable_thinking": True, "thinking": True}),
        ("DeepSeek V3.1", {"enable_thinking": True, "thinking": False}, {"enable_thinking": True, "thinking": False}),
        ("DeepSeek V3.1", {"reasoning_effort": "low"}, {"thinking": True}),
        ("Seed-OSS", {"enable_thinking": False}, {"thinking_budget": 0}),
        ("MiniMax M3", {"enable_thinking": True}, {"thinking_mode": "enabled"}),
        ("Mistral Small 4", {"enable_thinking": True}, {"reasoning_effort": "high"}),
        ("Mistral Small 4", {"reasoning_effort": "medium"}, {"reasoning_effort": "high"}),
        ("Mistral Small 4", {"reasoning_effort": "none"}, {"reasoning_effort": "none"}),
        ("gpt-oss", {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}),
        ("gpt-oss", {"reasoning_effort": "xhigh"}, {"reasoning_effort": "high"}),
        ("gpt-oss", {"reasoning_effort": "thorough"}, {"reasoning_effort": "thorough"}),
        ("both", {"reasoning_effort": "none"}, {"enable_thinking": False}),
        ("both", {"reasoning_effort": "high"}, {"reasoning_effort": "high", "enable_thinking": True}),
        ("always", {"enable_thinking": False, "tools": []}, {"enable_thinking": False, "tools": []}),
    ],
)
def test_a_request_is_said_in_the_words_of_the_template(name: str, given: dict[str, Any], expected: dict[str, Any]):
    support = support_of(next(template for each, template, _ in FOUND if each == name))
    assert expected.items() <= support.arguments(given).items()


def support_of(template: str) -> ThinkingSupport:
    return thinking_of(SAYS + template, "<s>", "</s>")
