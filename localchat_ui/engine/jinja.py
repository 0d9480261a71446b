"""Chat templates are programs of strangers: they run in Jinja's sandbox, and within bounds.

Every step of a template is counted, and what it makes is weighed before it is used further: texts by their length,
lists and the like by all that is in them. Over the bounds the rendering ends with TemplateTooLargeError.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from localchat_ui.engine.jinja_tree import Counted, GenerationTag

# Characters of one text, or parts of one value; the longest context there is has a few millions of characters.
LARGEST = 2**23
# All texts of one rendering together; templates that build a text piece by piece make many.
LARGEST_SUM = 2**27
SECONDS = 3.0
# Of JSON that the template writes in lines of their own, and of numbers that say how wide something is.
WIDEST = 1000
HARMLESS_FILTERS = re.compile(
    r"abs|attr|capitalize|count|d|default|dictsort|e|escape|first|float|forceescape"
    r"|groupby|int|items|last|length|list|lower|map|max|min|rejectattr|reject|"
    r"reverse|round|safe|select|selectattr|sort|string|striptags|sum|title|trim|"
    r"truncate|unique|upper|urlencode|wordcount"
)
WIDE_FORM = re.compile(r"%[^a-zA-Z%]*(\*|\d{4})|\{[^{}]*(\{|:[^{}]*\d{4})")
GROWING_METHODS = frozenset(["center", "expandtabs", "ljust", "rjust", "zfill", "format", "format_map"])


class TemplateTooLargeError(SecurityError):
    """The template computes more than any conversation needs."""

    def __init__(self) -> None:
        super().__init__("it computes more than a conversation needs")


def render_chat(
    template: str, messages: Sequence[Mapping[str, object]], *, bos: str, eos: str, arguments: Mapping[str, object]
) -> str:
    """A conversation in the words of a chat template. Raises what the template raises, and TemplateTooLargeError."""
    given = {"functions": None, "function_call": None, "tools": None, "tool_choice": None, **arguments}
    environment = _environment()
    environment.begin()
    text = _compiled(template).render(
        messages=list(messages), bos_token=bos, eos_token=eos, add_generation_prompt=True, **given
    )
    return str(text)


@functools.lru_cache(maxsize=8)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@functools.cache
def _environment() -> BoundedEnvironment:
    return BoundedEnvironment()


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """What one thread renders at a time is counted together."""

    intercepted_binops = frozenset(("*", "%", "**"))

    def __init__(self) -> None:
        # As transformers sets it up, for whom templates are written.
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationTag, loopcontrols],
        )
        harmless = {name: self._of(each) for name, each in self.filters.items() if HARMLESS_FILTERS.fullmatch(name)}
        self.filters = harmless | {
            "format": self._of(_formatted),
            "indent": self._indented,
            "join": self._joined,
            "replace": self._replaced,
            "tojson": self._to_json,
        }
        self.globals = {
            "namespace": _Namespace,
            "range": self._range,
            "dict": dict,
            "raise_exception": _raise,
            "strftime_now": _now,
        }
        self._spent = threading.local()

    def begin(self) -> None:
        """Count from nothing."""
        spent = self._spent
        spent.n_characters, spent.weights, spent.until = 0, {}, time.monotonic() + SECONDS

    @property
    def tick(self) -> None:
        """One step; an attribute, because templates read attributes faster than they call."""
        if time.monotonic() > self._spent.until:
            raise TemplateTooLargeError

    def weighed(self, value: Any) -> Any:
        """The same value, if it is not too large."""
        if type(value) is str:
            self._spend(len(value))
        elif isinstance(value, (str, list, tuple, dict)):
            self._weight(value)
        return value

    def concat(self, pieces: Iterable[str]) -> str:
        """What a template writes, piece by piece."""
        size, kept = 0, []
        for piece in pieces:
            size += len(piece)
            if size > LARGEST:
                raise TemplateTooLargeError
            kept.append(piece)
        self._spend(size)
        return "".join(kept)

    def joined(self, *values: Any) -> str:
        """The operator `~`."""
        return self.concat(map(str, values))

    def added(self, left: Any, right: Any) -> Any:
        """The operator `+`, where so many are added that not only the sum has to be weighed."""
        return self.weighed(left + right)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            _check_form(left)
        elif operator == "*":
            numbers = not isinstance(left, (str, list, tuple)) and not isinstance(right, (str, list, tuple))
            if _size(left) * _size(right) > (2**64 if numbers else LARGEST):
                raise TemplateTooLargeError
        elif operator == "**" and not (abs(left) < 2**32 and abs(right) < 64):
            raise TemplateTooLargeError
        return self.weighed(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        if owner is __self:
            return __obj(*args)
        __self.tick  # noqa: B018
        if isinstance(owner, str):
            __self._check_method(owner, __obj.__name__, [*args, *kwargs.values()])
        for argument in args:
            __self.weighed(argument)
        return __self.weighed(super().call(__context, __obj, *args, **kwargs))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = Counted().visit(super()._parse(source, name, filename))
        return tree

    def _spend(self, n_characters: int) -> None:
        self._spent.n_characters += n_characters
        if n_characters > LARGEST or self._spent.n_characters > LARGEST_SUM:
            raise TemplateTooLargeError

    def _weight(self, value: Any) -> int:
        """All that would be written or compared with this value; what stands in it twice counts twice."""
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, (list, tuple, dict)):
            return 1
        known = self._spent.weights.get(id(value))
        # Whoever is known is kept alive, so that nobody else gets its id; and none of them can be changed.
        if known is None or known[1] is not value:
            parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            known = self._spent.weights[id(value)] = (1 + sum(map(self._weight, parts)), value)
        if known[0] > LARGEST:
            raise TemplateTooLargeError
        return int(known[0])

    def _check_method(self, text: str, name: str, arguments: Sequence[Any]) -> None:
        if name in GROWING_METHODS:
            _check_form(text)
            if any(isinstance(argument, int) and argument > WIDEST for argument in arguments):
                raise TemplateTooLargeError
        elif name == "replace" and len(arguments) > 1:
            self._spend_replacing(text, *arguments[:2])
        elif name == "join" and arguments:
            parts = list(arguments[0])
            self._spend(sum(map(_size, parts)) + len(text) * len(parts))

    def _spend_replacing(self, text: str, old: str, new: str) -> None:
        self._spend(len(text) + text.count(old) * len(new))

    def _of(self, made: Callable[..., Any]) -> Callable[..., Any]:
        """A filter whose results are weighed."""

        @functools.wraps(made)
        def weighed(*args: Any, **kwargs: Any) -> Any:
            self.tick  # noqa: B018
            return self.weighed(made(*args, **kwargs))

        return weighed

    def _replaced(self, text: Any, old: str, new: str, count: int = -1) -> str:
        written = str(text)
        self._spend_replacing(written, old, new)
        return written.replace(old, new, count)

    def _joined(self, values: Iterable[Any], separator: str = "", attribute: str | int | None = None) -> str:
        parts = [value if attribute is None else self.getitem(value, attribute) for value in values]
        texts = list(map(str, parts))
        self._spend(sum(map(len, texts)) + len(separator) * len(texts))
        return str(separator).join(texts)

    def _indented(self, text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        prefix = width if isinstance(width, str) else " " * min(int(width), WIDEST)
        lines = str(text).split("\n")
        self._spend(len(prefix) * len(lines))
        rest = [prefix + line if line or blank else line for line in lines[1:]]
        return "\n".join([prefix + lines[0] if first else lines[0], *rest])

    def _to_json(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        if isinstance(indent, int):
            indent = min(indent, 16)
        form = {"ensure_ascii": ensure_ascii, "indent": indent, "separators": separators, "sort_keys": sort_keys}
        return str(self.weighed(json.dumps(value, **form)))  # type: ignore[arg-type]

    def _range(self, *bounds: int) -> range:
        made = range(*bounds)
        if len(made) > LARGEST // 256:
            raise TemplateTooLargeError
        return made


class _Namespace(Namespace):
    """Says nothing of what it holds, which may be itself."""

    def __repr__(self) -> str:
        return "<namespace>"


def _raise(message: str) -> None:
    raise ValueError(message)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, tuple)) else abs(value) if isinstance(value, int) else 1


def _check_form(form: str) -> None:
    """That nothing is to be filled up to a great width, or to one that comes from elsewhere."""
    if WIDE_FORM.search(form):
        raise TemplateTooLargeError


def _formatted(form: str, *values: Any) -> str:
    _check_form(form)
    return form % values


def _now(form: str) -> str:
    _check_form(form)
    return datetime.now().astimezone().strftime(form)
