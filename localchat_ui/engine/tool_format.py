"""How the calls of a model look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from localchat_ui.engine.base import ToolCall

# Stands for the id of a call in a shape.
ID = "\0"
NAME_IN_ID = "<|tool_call_argument_begin|>"
SHAPE = ('{"name": "', '", "arguments": ', "}")


class Kind(Enum):
    """A call is an object of JSON; or a name before JSON; or a name before parameters between marks; or Python."""

    JSON = auto()
    NAMED = auto()
    TAGGED = auto()
    PYTHON = auto()


@dataclass(frozen=True)
class ParameterMarks:
    """Around one parameter: before its name, between name and value, behind the value."""

    begin: str
    between: str
    end: str


@dataclass(frozen=True)
class ToolFormat:
    """What stands around the calls of one turn (`section`), around each, and `between` its name and its arguments.

    `calls` are ways to open one, the most usual first, and `also_between` further ways to go on behind the name;
    `is_list`: the section is a list of objects. The `shape` of an object is what stands in it before the name, between
    name and arguments, and behind these.
    White space in marks may be any.
    """

    kind: Kind
    calls: tuple[str, ...] = ("",)
    end: str = ""
    section: str = ""
    section_end: str = ""
    between: str = ""
    also_between: tuple[str, ...] = ()
    parameter: ParameterMarks | None = None
    is_list: bool = False
    shape: tuple[str, str, str] = SHAPE

    @property
    def triggers(self) -> tuple[str, ...]:
        """Each begins calls."""
        return tuple(opening.split()[0] for opening in (self.section, *self.calls) if opening)

    @property
    def marks(self) -> tuple[str, ...]:
        """All that must be seen to tell calls from text."""
        inner = (self.parameter.begin, self.parameter.between, self.parameter.end) if self.parameter else ()
        words = " ".join((*self.calls, self.end, self.section, self.section_end, self.between, *inner))
        return tuple(words.replace(ID, " ").split())

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Calls as the model itself would write them."""
        if self.kind is Kind.PYTHON:
            written = ", ".join(f"{call.name}({_python(call.arguments)})" for call in calls)
            return f"{self.section}{self.calls[0]}[{written}]{self.end}{self.section_end}"
        if self.is_list:
            return f"{self.section}[{', '.join(map(_object, calls))}]{self.section_end}"
        inner = "\n".join(f"{self.calls[0]}{_object(call)}{self.end}" for call in calls)
        return f"{self.section}{inner}{self.section_end}"


def _object(call: ToolCall) -> str:
    return json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)


def _python(arguments: object) -> str:
    values = arguments if isinstance(arguments, dict) else {}
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _list(begin: str, end: str = "") -> ToolFormat:
    return ToolFormat(Kind.JSON, section=begin, section_end=end, is_list=True)


# What most models were trained with, and what those are told that were trained with none.
HERMES = ToolFormat(Kind.JSON, ("<tool_call>\n",), "\n</tool_call>")

# What a template does not show, or shows in one of several ways that the model writes: by a word that is in it.
KNOWN_FORMATS = {
    # gpt-oss; a reply begins behind `<|start|>assistant`
    "<|channel|>": ToolFormat(
        Kind.NAMED,
        (
            "<|channel|>commentary to=functions.",
            "<|channel|>analysis to=functions.",
            "to=functions.",
            "<|start|>assistant to=functions.",
            "<|start|>assistant<|channel|>commentary to=functions.",
        ),
        "<|call|>",
        between=" <|constrain|>json<|message|>",
        also_between=(
            "<|channel|>commentary <|constrain|>json<|message|>",
            "<|channel|>commentary json<|message|>",
            " json<|message|>",
            "<|message|>",
        ),
    ),
    # Kimi; what stands in place of the name is the id, `functions.name:0`
    "<|tool_call_argument_begin|>": ToolFormat(
        Kind.NAMED,
        ("<|tool_call_begin|>",),
        "<|tool_call_end|>",
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_end|>",
        NAME_IN_ID,
    ),
    # LFM2
    "<|tool_call_start|>": ToolFormat(Kind.PYTHON, ("<|tool_call_start|>",), "<|tool_call_end|>"),
    # Phi-4-mini
    "<|/tool_call|>": _list("<|tool_call|>", "<|/tool_call|>"),
    # Granite 3
    "<|tool_call|>": _list("<|tool_call|>"),
    # Command R7B, Command A
    "<|START_ACTION|>": _list("<|START_ACTION|>", "<|END_ACTION|>"),
    # Nemotron Nano
    "<TOOLCALL>": _list("<TOOLCALL>", "</TOOLCALL>"),
    # Older Mistral
    "[TOOL_CALLS]": _list("[TOOL_CALLS]"),
    # Llama 3
    "<|python_tag|>": ToolFormat(Kind.JSON, ("", "<|python_tag|>")),
}
# Families whose templates show less than their models write.
HIDDEN = ("<|channel|>", "<|tool_call_argument_begin|>")
