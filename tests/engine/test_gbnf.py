"""Grammars of llama.cpp: what they allow and what not, and what is said of those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError
from localchat_ui.engine.gbnf import to_lark
from localchat_ui.engine.grammar import guide_of
from localchat_ui.engine.llama import Model
from localchat_ui.engine.text import Phase


@pytest.fixture(scope="module")
def model(smollm: Path) -> Iterator[Model]:
    model = Model(smollm, vocab_only=True)
    yield model
    model.close()


JSON = r"""# JSON in short
root  ::= obj
obj   ::= "{" ws (str ":" ws val ("," ws str ":" ws val)*)? "}" ws
val   ::= (obj | str
        | [0-9]+ ws)  # over two lines
str   ::= "\"" [^"\\]* "\"" ws
ws    ::= [ \t\n]*
"""


@pytest.mark.parametrize(
    ("grammar", "obeying", "other"),
    [
        ('root ::= "maybe" | "never"', ["maybe", "never"], ["may", "maybenever", ""]),
        # What ends a text may also stand in it.
        ('root ::= [a-z ]+ "the end"', ["told the tale to the end"], ["the end", "told"]),
        (r'root ::= "\u0041" [\u0042-\u0044] "\x45"', ["ABE", "ADE"], ["AEE"]),
        (r'root ::= "\U0001F600" [^\x00-\x1f]', ["😀a"], ["😀\n"]),
        ('root ::= "é" [α-ω]+ "/" [/]', ["éαω//"], ["éa//"]),
        (r'root ::= [\]\[\-^] "\\" "\"" "\n" "\t"', [']\\"\n\t', '-\\"\n\t', '^\\"\n\t'], ['a\\"\n\t']),
        ("root ::= [&~-]{2}", ["&&", "~-"], ["&", "aa"]),
        ("root ::= .{3}", ["a\nb"], ["ab"]),
        ('root ::= (("a"{2}){1,2} | "b"{0,2})', ["aa", "aaaa", "", "bb"], ["a", "aaa", "bbb"]),
        ('root ::= a-b 1x?\na-b ::= "x"\n1x ::= [0-9]+', ["x12", "x"], ["12"]),
        ('root ::= "a" root | "b"', ["b", "aaab"], ["a", "ba"]),
        ('root ::= root "a" | "b"', ["b", "baaa"], ["ab"]),
        ('root ::= "(" root* ")"', ["()", "(()(()))"], ["(()"]),
        (JSON, ['{"a": {"b": 12}, "c": "d"}\n', "{}"], ['{"a"}', "[]"]),
        ('root ::= ("a"|"")  \n  ', ["a", ""], ["b"]),
        ('start ::= "a"\nroot ::= start ROOT\nROOT ::= "b"', ["ab"], ["b"]),
    ],
)
def test_what_a_grammar_allows(model: Model, grammar: str, obeying: list[str], other: list[str]):
    assert [text for text in obeying if not allows(model, grammar, text)] == []
    assert [text for text in other if allows(model, grammar, text)] == []


def allows(model: Model, grammar: str, text: str) -> bool:
    """Whether a text is allowed, and may end there."""
    guide = guide_of(model, RequestOptions(grammar=grammar), None, Phase.ANSWER)
    assert guide is not None
    try:
        # Whole texts are often tokenized otherwise than their parts.
        for letter in text:
            for token in model.tokenize(letter):
                guide.accept(token)
    except EngineError:
        return False
    return not set(model.ends).isdisjoint(guide.allowed().tolist())


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("this is not GBNF", "line 1 cannot be read at 'this is not GBNF'"),
        ('a ::= "b"', "no rule called root"),
        ("root ::= x", "no rule called x"),
        ("root ::= (", "it ends too early"),
        ('root ::= "a" )', "line 1 cannot be read"),
        ('root ::= "a"\nb ::= "', "line 2 cannot be read"),
        ("root ::= []", "empty set"),
        (r'root ::= "\U99999999"', "no character"),
    ],
)
def test_what_is_said_of_one_that_cannot_be_read(grammar: str, message: str):
    with pytest.raises(ValueError, match=message):
        to_lark(grammar)
