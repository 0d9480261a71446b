"""llama.cpp's grammars (GBNF) in the syntax that llguidance reads, a dialect of Lark.

llguidance matches terminals greedily: `[a-z]+ "ing"` as two of them would never end. So whatever calls no rule that
calls itself becomes one terminal, which is an exact regular expression. llguidance's own converter knows neither this
nor `\\u0041`, digits at the beginning of names and repetitions of repetitions.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

WORD = re.compile(
    r'(?P<space>(?:\s|\#[^\n]*)+)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<letters>\[(?:[^\]\\]|\\.)*\])'
    r"|(?P<head>[\w-]+)\s*::=|(?P<name>[\w-]+)|(?P<many>[*+?]|\{\s*\d+\s*(?:,\s*\d*\s*)?\})|(?P<mark>[|().])"
)
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
NEW_TERMINAL = "PART_"


@dataclass
class Part:
    """Something that is written in Lark as `text`, and the rules that it calls."""

    text: str
    calls: frozenset[str] = frozenset()

    @classmethod
    def joined(cls, parts: list[Part], by: str) -> Part:
        return cls(by.join(part.text for part in parts), frozenset().union(*(part.calls for part in parts)))


@dataclass
class Rule:
    """Its alternatives, each a sequence."""

    alternatives: list[list[Part]] = field(default_factory=list)

    @property
    def calls(self) -> frozenset[str]:
        return frozenset().union(*(part.calls for sequence in self.alternatives for part in sequence))


def to_lark(grammar: str) -> str:
    """The same grammar in Lark; it begins with the rule `start`. Raises ValueError with what is wrong."""
    rules = dict(_rules(_Words(grammar)))
    if "root" not in rules:
        raise ValueError("it has no rule called root")
    unknown = sorted(name for rule in rules.values() for name in rule.calls if name not in rules)
    if unknown:
        raise ValueError(f"it has no rule called {unknown[0]}")
    terminals: set[str] = set()
    while found := {name for name, rule in rules.items() if name not in terminals and rule.calls <= terminals}:
        terminals |= found
    written = {name: (f"T_{n}" if name in terminals else f"r_{n}") for n, name in enumerate(rules)}
    lines = [f"start: {written['root']}"]
    for name, rule in rules.items():
        sequences = rule.alternatives
        if name not in terminals:
            sequences = [list(_with_terminals(sequence, terminals, lines)) for sequence in sequences]
        lines.append(f"{written[name]}: " + " | ".join(Part.joined(each, " ").text or '""' for each in sequences))
    # Names stand between marks until all of them are known.
    return re.sub("\0(.*?)\0", lambda name: written[name[1]], "\n".join(lines)) + "\n"


def _with_terminals(sequence: list[Part], terminals: set[str], lines: list[str]) -> Iterator[Part]:
    """A sequence with a new terminal in place of neighbours that could be one; their rules are added to the lines."""
    run: list[Part] = []
    for part in [*sequence, None]:
        if part is not None and part.calls <= terminals:
            run.append(part)
            continue
        if run:
            name = f"{NEW_TERMINAL}{len(lines)}"
            lines.append(f"{name}: {Part.joined(run, ' ').text}")
            yield Part(name)
            run = []
        if part is not None:
            yield part


class _Words:
    """The words of a grammar, one after the other; comments and white space are none."""

    def __init__(self, grammar: str) -> None:
        self._grammar = grammar
        self._position = 0
        self._next: tuple[str, str] | None = None
        self.take()

    @property
    def kind(self) -> str:
        """Of the next word; empty at the end."""
        return self._next[0] if self._next else ""

    @property
    def text(self) -> str:
        return self._next[1] if self._next else ""

    def take(self) -> str:
        """The next word."""
        taken, self._next = self.text, None
        while self._position < len(self._grammar):
            found = WORD.match(self._grammar, self._position)
            if found is None:
                raise self.error(self._position)
            self._position = found.end()
            if found.lastgroup != "space":
                self._next = str(found.lastgroup), found[str(found.lastgroup)]
                break
        return taken

    def error(self, position: int | None = None) -> ValueError:
        """That nothing can stand here."""
        position = self._position - len(self.text) if position is None else position
        line = self._grammar.count("\n", 0, position) + 1
        near = self._grammar[max(0, position) : position + 20]
        return ValueError(f"line {line} cannot be read at {near!r}" if near else "it ends too early")


def _rules(words: _Words) -> Iterator[tuple[str, Rule]]:
    while words.kind:
        if words.kind != "head":
            raise words.error()
        name = words.take()
        yield name, Rule(_alternatives(words))


def _alternatives(words: _Words) -> list[list[Part]]:
    alternatives = [_sequence(words)]
    while words.text == "|" and words.kind == "mark":
        words.take()
        alternatives.append(_sequence(words))
    return alternatives


def _sequence(words: _Words) -> list[Part]:
    parts: list[Part] = []
    while words.kind not in ("", "head", "many") and not (words.kind == "mark" and words.text in "|)"):
        part = _part(words)
        while words.kind == "many":
            part = Part(f"({part.text}){re.sub(r'[^0-9,{}*+?]', '', words.take())}", part.calls)
        parts.append(part)
    return parts


def _part(words: _Words) -> Part:
    kind, word = words.kind, words.take()
    if kind == "text":
        return Part(json.dumps(_unescaped(word[1:-1]), ensure_ascii=False))
    if kind == "letters":
        return Part(_letters(word[1:-1]))
    if kind == "name":
        return Part(f"\0{word}\0", frozenset([word]))
    if word == ".":
        return Part(r"/(.|\n)/")
    sequences = [Part.joined(sequence, " ") for sequence in _alternatives(words)]
    if words.text != ")":
        raise words.error()
    words.take()
    inner = Part.joined([Part(each.text or '""', each.calls) for each in sequences], " | ")
    return Part(f"({inner.text})", inner.calls)


def _letters(inside: str) -> str:
    """A set of characters as a regular expression; only `-` and a first `^` mean more than themselves."""
    negated = inside.startswith("^")
    if not inside[negated:]:
        raise ValueError("it has an empty set of characters")
    written, position = "", int(negated)
    while position < len(inside):
        found = ESCAPE.match(inside, position)
        length = len(found[0]) if found else 1
        letter = _unescaped(inside[position : position + length])
        written += "-" if letter == "-" and not found else f"\\u{{{ord(letter):X}}}"
        position += length
    return f"/[{'^' if negated else ''}{written}]/"


def _unescaped(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if code is None:
            return LETTERS.get(found[4], found[4])
        if int(code, 16) > sys.maxunicode:
            raise ValueError(f"{found[0]} is no character")
        return chr(int(code, 16))

    return ESCAPE.sub(letter, text)
