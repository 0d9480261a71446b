"""What the library knows of one GGUF file, in words for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localchat_ui.i18n import _
from localchat_ui.library.estimate import UNKNOWN, Shape
from localchat_ui.library.kind import Kind


@dataclass(frozen=True)
class ModelFile:
    """A GGUF file. With `error` set it cannot be loaded, and what it would have said of itself is empty or 0.

    `parameters` is exact, `size_bytes` counts all parts of a split file. `context_length` is what it was trained for,
    `n_ctx` what it runs with, in tokens; 0 is unknown. `origin` is the program that it belongs to, if not to the user,
    and `label` what that calls it where its path does not say.
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
        article = "an" if self.kind.words[0] in "aeiou" else "a"
        return f"{self.file_name} is {article} {self.kind.words}, and cannot chat. Choose another file."

    @property
    def sheet(self) -> dict[str, str]:
        """All that is known of it, as names and values for people."""
        rows = {
            "What it is": self.kind.words if not self.error else "",
            "Why it cannot be used": self.refusal or "",
            "Abilities": ", ".join(self.abilities),
            "Architecture": self.architecture,
            "Parameters": readable_count(self.parameters) if self.parameters else "",
            "Quantisation": self.quantisation,
            "Context": f"{self.context_length:,} tokens" if self.context_length else "",
            "Context in use": f"{self.n_ctx:,} tokens" if self.n_ctx else "",
            "Licence": self.licence,
            "Size": readable_size(self.size_bytes),
            "Belongs to": self.origin,
            "File": displayable(str(self.path)),
        }
        return {name: value for name, value in rows.items() if value}

    @property
    def details(self) -> str:
        """One line to tell it from others: `135M · Q4_1 · 98 MB · 4k of 8k context`, or its size and what is wrong."""
        if self.error:
            return f"{readable_size(self.size_bytes)} · {self.error}"
        context = " of ".join(dict.fromkeys(map(readable_context, filter(None, (self.n_ctx, self.context_length)))))
        parts = [
            self.kind.words if self.kind is not Kind.CHAT else "",
            readable_count(self.parameters) if self.parameters else "",
            self.quantisation,
            readable_size(self.size_bytes),
            f"{context} context" if context else "",
            _("from {program}").format(program=self.origin) if self.origin else "",
        ]
        return " · ".join(part for part in parts if part)


def readable_size(size: float) -> str:
    """Bytes in powers of 1000, as the hub and most desktops count: `98 MB`, `4.7 GB`."""
    return _scaled(size, (" bytes", " kB", " MB", " GB", " TB"))


def readable_count(count: float) -> str:
    """A number of parameters as models are called: `135M`, `1.5B`."""
    return _scaled(count, ("", "K", "M", "B", "T"))


def readable_context(tokens: int) -> str:
    """A number of tokens as contexts are called, in powers of 1024 where it is one: `8k`, `128k`."""
    if tokens < 1000:
        return str(tokens)
    return f"{tokens // 1024 if tokens % 1024 == 0 else round(tokens / 1000)}k"


def displayable(text: str) -> str:
    """The text without the bytes of a file name that are no characters: neither JSON nor a page can carry those."""
    return text.encode("utf-8", errors="replace").decode()


def _scaled(value: float, units: tuple[str, ...]) -> str:
    unit = 0
    while round(value) >= 1000 and unit < len(units) - 1:
        value /= 1000
        unit += 1
    # Up to ten, half a unit matters: 1.5B is not 2B. Small files and small models need no fractions.
    text = f"{value:.1f}".removesuffix(".0") if value < 9.95 and unit >= 3 else str(round(value))
    return text + units[unit]
