"""What a reply has to look like: JSON, a JSON schema or a grammar, held by llguidance token by token.

Thinking is free; what binds is the answer behind it. Grammars are compiled where a request comes in, not on the
engine's thread, and within llguidance's limits.
"""

from __future__ import annotations

import json
import re
import threading
import weakref
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from localchat_ui.conversation import RequestOptions
from localchat_ui.engine.base import EngineError
from localchat_ui.engine.gbnf import to_lark
from localchat_ui.engine.llama import Model
from localchat_ui.engine.text import Phase
from localchat_ui.engine.thinking import ThinkingMarks
from localchat_ui.engine.tool_grammar import CallRules, calls_in_lark

MOST_CHARACTERS = 1_000_000
# Objects of 2,000 properties that may all be left out are followed so, in less than a tenth of a second for a token.
LIMITS = LLParserLimits(max_items_in_row=10_000, verbose_errors=False)
TOO_LARGE = re.compile(r"panic|parser error: (current row has|too many items)", re.IGNORECASE)
# Between two tokens of JSON; without a bound, small models write nothing but line feeds.
WHITE_SPACE = r"(\x20|\n{1,2}[\x20\t]{0,20})"
# In a JSON schema: what holds values, what holds schemas by names, what says more of an object than its properties.
VALUES = ("const", "enum", "default", "examples", "required")
BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
MORE_PROPERTIES = ("additionalProperties", "patternProperties", "unevaluatedProperties")
COMBINED = ("$ref", "allOf", "anyOf", "oneOf")
FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")


class Guide:
    """Knows which tokens may come next in one reply."""

    def __init__(self, matcher: LLMatcher, n_vocab: int, ends: Collection[int]) -> None:
        self._matcher = matcher
        self._n_vocab = n_vocab
        self._ends = ends

    def allows(self, token: int) -> bool:
        """Whether this token may come next; much quicker to tell than all that may."""
        if token in self._ends:
            return self._matcher.is_accepting()
        return self._matcher.validate_tokens([token]) == 1

    def allowed(self) -> npt.NDArray[np.intp]:
        """Ids of the tokens that may come next. Raises EngineError when there are none."""
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        ids = np.flatnonzero(np.unpackbits(mask, bitorder="little", count=self._n_vocab))
        if not len(ids):
            raise EngineError("There is no token left that the grammar allows.")
        return ids

    def forced(self) -> list[int]:
        """The next tokens, as far as only one may come at each place."""
        return self._matcher.compute_ff_tokens()

    def accept(self, token: int) -> None:
        """Go on behind a token that was chosen. Raises EngineError if it was not allowed."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise EngineError(f"The grammar cannot be followed any further: {_reason(self._matcher.get_error())}.")


def guide_of(
    model: Model,
    options: RequestOptions,
    marks: ThinkingMarks | None,
    phase: Phase,
    calls: CallRules | None = None,
) -> Guide | None:
    """A guide for a reply that begins in this phase, with rules for its `calls` if any; None if it may be anything.

    Raises EngineError with the reason for what cannot be done.
    """
    if calls is not None:
        elsewhere = (*marks.openings, marks.end, marks.answer) if marks else ()
        what, answer = "parameters of a tool cannot be turned into a grammar", _of_calls(model, calls, elsewhere)
    elif options.json_schema is not None:
        what, answer = "JSON schema cannot be turned into a grammar", _of_schema(options.json_schema)
    elif options.grammar:
        what, answer = "grammar is not valid GBNF", _of_gbnf(options.grammar)
        if marks and (marks.begin in options.grammar or marks.end in options.grammar):
            phase = Phase.ANSWER  # it says itself how to think
    else:
        return None
    tokenizer = _tokenizers.of(model)
    frame = _frame(model, tokenizer, marks if phase is not Phase.ANSWER else None, phase)
    grammar = json.dumps({"grammars": [{"name": "reply", "lark_grammar": frame}, {"name": "answer", **answer}]})
    if len(grammar) > MOST_CHARACTERS:
        raise EngineError(f"The grammar is too large: {MOST_CHARACTERS:,} characters are the most.")
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=LIMITS)
    if not matcher.is_error():
        # What is computed once for all tokens is computed here.
        matcher.compute_bitmask()
    if matcher.is_error():
        raise EngineError(f"The {what}: {_reason(matcher.get_error())}.")
    return Guide(matcher, model.n_vocab, model.ends)


def _of_schema(schema: Mapping[str, Any]) -> dict[str, object]:
    return {"json_schema": _with_white_space(schema)}


def _of_calls(model: Model, calls: CallRules, elsewhere: Collection[str]) -> dict[str, object]:
    tokenizer = _tokenizers.of(model)

    def mark(text: str) -> str:
        # What ends the reply itself is no part of it.
        ends = any(model.is_end(token) for token in model.tokenize(text))
        return "" if not text or ends else _mark(model, tokenizer, text)

    return {"lark_grammar": calls_in_lark(calls, mark, _with_white_space, list(filter(None, elsewhere)))}


def _with_white_space(schema: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain = _plain(schema, closed=not _combines(schema))
    except RecursionError as error:
        raise EngineError("The JSON schema cannot be turned into a grammar: it is nested too deeply.") from error
    return {**plain, "x-guidance": {"whitespace_pattern": WHITE_SPACE}}


def _of_gbnf(grammar: str) -> dict[str, object]:
    try:
        return {"lark_grammar": to_lark(grammar)}
    except RecursionError as error:
        raise EngineError("The grammar is not valid GBNF: it is nested too deeply.") from error
    except ValueError as error:
        raise EngineError(f"The grammar is not valid GBNF: {error}.") from error


def _plain(schema: Any, *, closed: bool) -> Any:
    """A schema that models follow better; what obeys it obeys the given one.

    Objects that name properties have no others if `closed`: small models would write those without end. Formats that
    nobody knows (`password`, `int64`) are only remarks, which llguidance refuses.
    """
    if isinstance(schema, list):
        return [_plain(each, closed=closed) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key in BY_NAME and isinstance(value, dict):
            plain[key] = {name: _plain(each, closed=closed) for name, each in value.items()}
        elif key != "format" or value in FORMATS:
            plain[key] = value if key in VALUES else _plain(value, closed=closed)
    if closed and "properties" in schema and schema.keys().isdisjoint(MORE_PROPERTIES):
        plain["additionalProperties"] = False
    return plain


def _combines(schema: object) -> bool:
    """Whether properties of one object may be told in several places; then none of these knows them all."""
    if isinstance(schema, dict):
        several = isinstance(schema.get("allOf"), list) and len(schema["allOf"]) > 1
        if several or ("properties" in schema and not schema.keys().isdisjoint(COMBINED)):
            return True
        return any(map(_combines, schema.values()))
    return isinstance(schema, list) and any(map(_combines, schema))


def _frame(model: Model, tokenizer: LLTokenizer, marks: ThinkingMarks | None, phase: Phase) -> str:
    """A grammar in Lark in which `@answer` stands behind all thinking, as `text.TextStream` reads it."""
    if marks is None:
        return "start: @answer"
    begins = [_mark(model, tokenizer, opening) for opening in marks.openings]
    end = _mark(model, tokenizer, marks.end)
    lines = [
        # Where the end is a control token, it may be spelled out all the same.
        f"thought: spelled | TEXT? {end}" if end.startswith("<[") else "thought: spelled",
        f"spelled[lazy]: ANY {json.dumps(marks.end)}",
        f"block: ({' | '.join(begins)}) thought",
        r"TEXT: /(.|\n)+/",
        r"ANY: /(.|\n)*/",
        r"GAP: /[ \n]{1,4}/",
    ]
    if marks.answer:
        before = f"(GAP? block)* (GAP? {_mark(model, tokenizer, marks.answer)})? GAP?"
    else:
        # An end without its beginning stands before the answer of models that were told not to think.
        before = "GAP?" if phase is Phase.THINKING else f"((block | {end}) GAP?)?"
    close = f"({_mark(model, tokenizer, marks.close)})?" if marks.close else ""
    lines.insert(0, f"start: {'thought' if phase is Phase.THINKING else ''} {before} @answer {close}")
    return "\n".join(lines)


def _mark(model: Model, tokenizer: LLTokenizer, mark: str) -> str:
    """A mark in Lark: tokens that stand for no text by their ids, and text."""
    parts, rest = [], mark
    for token in model.tokenize(mark):
        name = model.control_text(token)
        if tokenizer.is_special_token(token) and name in rest:
            text, _, rest = rest.partition(name)
            parts += [json.dumps(text, ensure_ascii=False)] if text else []
            parts.append(f"<[{token}]>")
    return " ".join([*parts, json.dumps(rest, ensure_ascii=False)] if rest else parts)


class _Vocabulary:
    """The tokens of a model as llguidance wants them. Only control tokens stand for no text.

    llguidance's own adapter for llama.cpp warns of a deprecated function for each token, and takes `<think>` for none.
    """

    def __init__(self, model: Model) -> None:
        self.eos_token_id = model.ends[0] if model.ends else 0
        self.bos_token_id = None
        self.tokens = model.vocabulary()
        self.special_token_ids = [token for token in range(model.n_vocab) if model.is_control(token)]
        # Not the model itself: it is let go of while this is kept.
        self._tokenize = partial(Model.tokenize, weakref.proxy(model), as_text=True)
        self._ids = {
            piece: token for token, piece in reversed([*enumerate(self.tokens)]) if not model.is_control(token)
        }
        self._longest = max(map(len, self._ids))

    def __call__(self, text: bytes) -> list[int]:
        """Tokens that spell exactly this. Some models put a space before a text, but for one behind a line feed."""
        for before in (b"", b"\n"):
            tokens = self._tokenize((before + text).decode("utf-8", errors="replace"))
            spelled = b""
            for n in range(len(tokens) + 1):
                if spelled.lstrip(b" ") == before and b"".join(self.tokens[token] for token in tokens[n:]) == text:
                    return tokens[n:]
                if n == len(tokens) or len(spelled) > 2:
                    break
                spelled += self.tokens[tokens[n]]
        return self._longest_first(text)

    def _longest_first(self, text: bytes) -> list[int]:
        tokens: list[int] = []
        while text:
            sizes = range(min(len(text), self._longest), 0, -1)
            size = next((size for size in sizes if text[:size] in self._ids), 0)
            if not size:
                break
            tokens.append(self._ids[text[:size]])
            text = text[size:]
        return tokens


class _Tokenizers:
    """The vocabulary of each model, built when it is first needed, in a fraction of a second."""

    def __init__(self) -> None:
        self._built: weakref.WeakKeyDictionary[Model, LLTokenizer] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, model: Model) -> LLTokenizer:
        with self._lock:
            if model not in self._built:
                wrapper = TokenizerWrapper(_Vocabulary(model))
                self._built[model] = LLTokenizer(wrapper, n_vocab=model.n_vocab, eos_token=model.ends or None)
            return self._built[model]


_tokenizers = _Tokenizers()


def _reason(error: str) -> str:
    """The first line of what llguidance says, for people."""
    if TOO_LARGE.match(error):
        return "it is too large"
    if error.startswith("NoExtension"):
        return "no text would obey it"
    first = error.strip().partition("\n")[0].rstrip(".:")
    if first.endswith("regex parse error"):
        first = f"a pattern cannot be read, {error.rpartition('error: ')[2].strip()}"
    return re.sub(r"\s+", " ", first)[:300]
