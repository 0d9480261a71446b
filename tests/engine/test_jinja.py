"""Chat templates of strangers: what they compute has bounds, and what ordinary ones do is untouched."""

# ruff: noqa: E501
from __future__ import annotations

import threading
import time
import tracemalloc

import pytest

from localchat_ui.conversation import Role
from localchat_ui.engine import jinja
from localchat_ui.engine.base import EngineError, Turn
from localchat_ui.engine.jinja import TemplateTooLargeError, render_chat
from localchat_ui.engine.prompt import build_prompt
from tests.engine.test_prompt import FakeModel

FORTY_TIMES = "{% set ns = namespace(s='x', l=[1], m=[1]) %}{% for i in range(40) %}BODY{% endfor %}"


def rendered(template: str, **arguments: object) -> str:
    return render_chat(template, [{"role": "user", "content": "Hi"}], bos="<s>", eos="</s>", arguments=arguments)


@pytest.mark.parametrize(
    "template",
    [
        FORTY_TIMES.replace("BODY", "{% set ns.s = ns.s + ns.s %}"),
        FORTY_TIMES.replace("BODY", "{% set ns.s = ns.s ~ ns.s %}"),
        FORTY_TIMES.replace("BODY", "{% set ns.s = '%s%s' % (ns.s, ns.s) %}"),
        FORTY_TIMES.replace("BODY", "{% set ns.s = '{}{}'.format(ns.s, ns.s) %}"),
        FORTY_TIMES.replace("BODY", "{% set ns.s = [ns.s, ns.s] | join %}"),
        FORTY_TIMES.replace("BODY", "{% set ns.s = ns.s.replace('x', 'xx') %}"),
        FORTY_TIMES.replace("BODY", "{% set s %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = s %}"),
        FORTY_TIMES.replace("BODY", "{% set ns.l = ns.l + ns.l %}"),
        FORTY_TIMES.replace("BODY", "{% set ns.l = [ns.l, ns.l] %}") + "{{ ns.l }}",
        FORTY_TIMES.replace("BODY", "{% set ns.l = (ns.l[:], ns.l[:]) %}") + "{{ ns.l }}",
        FORTY_TIMES.replace("BODY", "{% set ns.l = {'a': ns.l, 'b': ns.l} %}") + "{{ ns.l | tojson }}",
        FORTY_TIMES.replace("BODY", "{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}")
        + "{{ ns.l == ns.m }}",
        "{% macro f(s, n) %}{% if n %}{{ f(s + s, n - 1) }}{% endif %}{% endmacro %}{{ f('x', 40) }}",
        "{{ 'x' * 10**11 }}",
        "{{ [1] * 10**10 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ range(10**12) | list }}",
        "{{ '%099999999999d' % 1 }}",
        "{{ '%*d' % (10**10, 1) }}",
        "{{ '{:>99999999999}'.format(1) }}",
        "{{ '{:>{w}}'.format(1, w='99999999999') }}",
        "{{ 'x'.ljust(10**11) }}",
        "{{ '\\t'.expandtabs(10**11) }}",
        "{{ strftime_now('%999999999d') }}",
        "{% set s = 'x' * 10**6 %}{{ s.replace('x', s) }}",
        "{% set s = 'x' * 10**6 %}{{ s | replace('x', s) }}",
        "{% set s = 'x' * 10**6 %}{{ s.join(s) }}",
        "{% set s = 'x' * 10**6 %}{{ s | join(s) }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(30000) %}{% set ns.l = ns.l + ['x' * 10**5 ~ i] %}{% endfor %}",
        "{% for i in range(30000) %}{% for j in range(30000) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
    ],
)
def test_what_grows_without_end_is_ended(template: str):
    tracemalloc.start()
    try:
        with pytest.raises(TemplateTooLargeError):
            rendered(template)
        assert tracemalloc.get_traced_memory()[1] < 300_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "template",
    [
        "{% set l = range(30000) | list %}{% for a in l %}{% for b in l %}{% for c in l %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set l = range(30000) | list %}{% for a in l %}{% for b in l if b < 0 %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    ],
)
def test_what_takes_too_long_is_ended(template: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jinja, "SECONDS", 0.2)
    with pytest.raises(TemplateTooLargeError):
        rendered(template)


def test_what_a_namespace_holds_is_not_written():
    body = "{% set n = namespace() %}{% set n.a = ns.s %}{% set n.b = ns.s %}{% set ns.s = n %}"
    assert rendered(FORTY_TIMES.replace("BODY", body) + "{{ ns.s }}") == "<namespace>"


def test_the_request_is_refused_and_others_are_not():
    bad = FakeModel("{% if messages[0].content == 'bad' %}" + "{{ 'x' * 10**11 }}{% endif %}{{ messages[0].content }}")
    with pytest.raises(EngineError, match="computes more than a conversation needs"):
        build_prompt(bad, [Turn(Role.USER, "bad")], n_ctx=1000)  # type: ignore[arg-type]
    assert build_prompt(bad, [Turn(Role.USER, "good")], n_ctx=1000).text == "good"  # type: ignore[arg-type]


def test_each_thread_has_bounds_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jinja, "SECONDS", 0.3)
    ended: list[BaseException] = []

    def endless() -> None:
        try:
            rendered("{% for a in range(30000) %}{% for b in range(30000) %}{% endfor %}{% endfor %}")
        except TemplateTooLargeError as error:
            ended.append(error)

    thread = threading.Thread(target=endless)
    thread.start()
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        assert rendered("{{ messages[0].content }}") == "Hi"
    thread.join()
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            "{{ bos_token }}{% generation %}{{ messages[0].content | trim }}{% endgeneration %}{{ eos_token }}",
            "<s>Hi</s>",
        ),
        ("{{ {'b': 'ü', 'a': [1, none]} | tojson }}", '{"b": "ü", "a": [1, null]}'),
        ("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'),
        ("{{ 'a\\n\\nb' | indent(2, first=True) }}", "  a\n\n  b"),
        ("{{ 'a-b'.split('-') | join(', ') }}{{ 'xyx'.replace('x', 'z', 1) }}{{ 'x' * 3 }}", "a, bzyxxxx"),
        ("{{ '%s has %03d' % ('a', 7) }} {{ '{} {:.2f}'.format('b', 1.5) }}", "a has 007 b 1.50"),
        ("{% for k, v in {'a': 1} | items %}{{ k ~ v }}{% if true %}{% continue %}{% endif %}{% endfor %}", "a1"),
        (
            "{% set x = [1, 2, 3] %}{{ x[1:] | length }}{{ x | map('string') | join('+') }}{{ loop is defined }}",
            "21+2+3False",
        ),
        ("{% for m in messages %}{{ loop.index0 }}{{ loop.last }}{{ m['role'] }}{% endfor %}", "0Trueuser"),
        ("{% macro f(a, b='c') %}[{{ a }}{{ b }}]{% endmacro %}{{ f('x') }}", "[xc]"),
    ],
)
def test_ordinary_templates_are_untouched(template: str, expected: str):
    assert rendered(template) == expected


def test_templates_see_the_day():
    assert rendered("{{ strftime_now('%Y') }}") >= "2026"
