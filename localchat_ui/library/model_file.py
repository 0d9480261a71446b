"""What the library knows of one GGUF file, in words for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localchat_ui.library.estimate import UNKNOWN, Shape
from localchat_ui.library.kind import Kind
from localchat_ui.text import N_, Text, counted

SIZES = (N_("{n} bytes"), N_("{n} kB"), N_("{n} MB"), N_("{n} GB"), N_("{n} TB"))
COUNTS = ("", "K", "M", "B", "T")


@dataclass(frozen=True)
class ModelFile:
    """A GGUF file. With `error` set it cannot be loaded, and what it would have said of itself is empty or 0.

    `parameters` is exact, `size_bytes` counts all parts of a split file. `context_length` is what it was trained for,
    `n_ctx` what it runs with, in tokens; 0 is unknown. `origin` is the program that it belongs to, if not to the user,
    and `label` what that calls it where its path does not say. `sampling` is what its maker recommends, as fields of
    SamplingOptions.
    """

    path: Path
    name: str
    parameters: int | None
    quantisation: str
    size_bytes: int
    context_length: int
    error: str | None
    is_starter: bool
    shape: Shape = UNKNOWN
    kind: Kind = Kind.CHAT
    n_ctx: int = 0
    architecture: str = ""
    licence: str = ""
    abilities: tuple[str, ...] = ()
    sampling: tuple[tuple[str, float], ...] = ()
    origin: str = ""
    label: str = ""

    @property
    def file_name(self) -> str:
        """The name of the file, or of the model where its file has none that people know."""
        return self.label or displayable(self.path.name)

    @property
    def is_loadable(self) -> bool:
        """Whether llama.cpp may open it, to chat or to embed."""
        return not self.error and self.kind.is_model

    @property
    def refusal(self) -> str | None:
        """Why it cannot answer in a chat; None when it may."""
        if self.error or self.kind.can_chat:
            return self.error
        if self.kind.words[0] in "aeiou":
            text = N_("{file} is an {kind}, and cannot chat. Choose another file.")
        else:
            text = N_("{file} is a {kind}, and cannot chat. Choose another file.")
        return Text(text, file=self.file_name, kind=self.kind.words)

    @property
    def sheet(self) -> dict[str, str]:
        """All that is known of it, as names and values for people."""
        rows = {
            N_("What it is"): self.kind.words if not self.error else "",
            N_("Why it cannot be used"): self.refusal or "",
            N_("Abilities"): Text.joined(", ", self.abilities),
            N_("Architecture"): self.architecture,
            N_("Parameters"): readable_count(self.parameters) if self.parameters else "",
            N_("Quantisation"): self.quantisation,
            N_("Context"): counted("{n} token", "{n} tokens", self.context_length) if self.context_length else "",
            N_("Context in use"): counted("{n} token", "{n} tokens", self.n_ctx) if self.n_ctx else "",
            N_("Licence"): self.licence,
            N_("Size"): readable_size(self.size_bytes),
            N_("Belongs to"): self.origin,
            N_("File"): displayable(str(self.path)),
        }
        return {name: value for name, value in rows.items() if value}

    @property
    def details(self) -> str:
        """One line to tell it from others: `135M · Q4_1 · 98 MB · 4k of 8k context`, or its size and what is wrong."""
        if self.error:
            return Text.joined(" · ", (readable_size(self.size_bytes), self.error))
        contexts = [*dict.fromkeys(map(readable_context, filter(None, (self.n_ctx, self.context_length))))]
        context = Text("{used} of {all}", used=contexts[0], all=contexts[1]) if len(contexts) > 1 else "".join(contexts)
        parts = [
            self.kind.words if self.kind is not Kind.CHAT else "",
            readable_count(self.parameters) if self.parameters else "",
            self.quantisation,
            readable_size(self.size_bytes),
            Text("{n} context", n=context) if context else "",
            Text("from {program}", program=self.origin) if self.origin else "",
        ]
        return Text.joined(" · ", parts)


def readable_size(size: float) -> Text:
    """Bytes in powers of 1000, as the hub and most desktops count: `98 MB`, `4.7 GB`."""
    value, unit = _scaled(size, len(SIZES))
    return Text(SIZES[unit], n=value)


def readable_count(count: float) -> str:
    """A number of parameters as models are called: `135M`, `1.5B`."""
    value, unit = _scaled(count, len(COUNTS))
    return f"{value}{COUNTS[unit]}"


def readable_context(tokens: int) -> str:
    """A number of tokens as contexts are called, in powers of 1024 where it is one: `8k`, `128k`."""
    if tokens < 1000:
        return str(tokens)
    return f"{tokens // 1024 if tokens % 1024 == 0 else round(tokens / 1000)}k"


def displayable(text: str) -> str:
    """The text without the bytes of a file name that are no characters: neither JSON nor a page can carry those."""
    return text.encode("utf-8", errors="replace").decode()


def _scaled(value: float, n_units: int) -> tuple[float, int]:
    """The value in thousands, and how many times it was divided."""
    unit = 0
    while round(value) >= 1000 and unit < n_units - 1:
        value /= 1000
        unit += 1
    # Up to ten, half a unit matters: 1.5B is not 2B. Small files and small models need no fractions.
    scaled = round(value, 1) if value < 9.95 and unit >= 3 else round(value)
    return int(scaled) if scaled == int(scaled) else scaled, unit
