"""The language of the page: English texts are the keys of the catalogues in `locale/`, one file a language.

A text is translated where it is shown, for whoever looks at that page. The API, logs and the database are English.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from nicegui.slot import Slot
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from localchat_ui.text import Text

ENGLISH = "en"
# What somebody chose in the settings; without it the browser's own list of languages counts.
COOKIE = "localchat_language"
CATALOGUES = Path(__file__).parent / "locale"


def _(text: str) -> str:
    """The text in the visitor's language. Values go in afterwards: `_("{n} models").format(n=3)`."""
    # The empty text is the key of a catalogue's own header.
    return catalogue(current_language()).texts.gettext(text) if text else ""


def ngettext(one: str, many: str, n: int) -> str:
    """The text that fits the number, in the visitor's language."""
    return catalogue(current_language()).texts.ngettext(one, many, n)


def translated(text: object) -> str:
    """What some room below the page says, or an error from there, in the visitor's language."""
    said = str(text)
    if not isinstance(said, Text):
        return _(said)
    template = ngettext(said.template, said.many, said.values["n"]) if said.many else _(said.template)
    return template.format(**{name: _shown(value) for name, value in said.values.items()}) if said.values else template


def _shown(value: Any) -> Any:
    return (
        translated(value)
        if isinstance(value, (str, Exception))
        else number(value)
        if type(value) in (int, float)
        else value
    )


_LANGUAGE: ContextVar[str] = ContextVar("language", default=ENGLISH)


def current_language() -> str:
    """That of whoever looks at the page that is being drawn; without any page, the one given to `speaking`."""
    stack = Slot.get_stack()
    parent = stack[-1]._parent() if stack else None
    if parent is not None and parent.client._request:
        return language_of_scope(parent.client.request.scope)
    return _LANGUAGE.get()


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """For answers that are no pages of NiceGUI."""
    token = _LANGUAGE.set(language)
    try:
        yield
    finally:
        _LANGUAGE.reset(token)


def language_of_scope(scope: Any) -> str:
    """The language of the visitor who sent this request."""
    found: str | None = scope.get("localchat.language")
    if found is None:
        accepted = Headers(scope=scope).get("accept-language", "")
        found = scope["localchat.language"] = chosen_language(scope) or negotiated(accepted)
    return found


def chosen_language(scope: Any) -> str:
    """What was chosen in the settings of this browser, or nothing."""
    chosen = cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE, "")
    return chosen if chosen in languages() else ""


@lru_cache(maxsize=256)
def negotiated(accept_language: str) -> str:
    """The first of the languages in an Accept-Language header that there is a catalogue for; else English."""
    wishes: list[tuple[float, str]] = []
    for part in accept_language[:400].casefold().split(","):
        tag, _q, share = part.replace(" ", "").partition(";q=")
        try:
            wishes.append((float(share or 1), tag))
        except ValueError:
            continue
    known = {code.casefold(): code for code in languages()}
    # A sister is better than English: German for de-AT.
    sisters = {code.partition("-")[0]: known[code] for code in known}
    for weight, tag in sorted(wishes, key=lambda wish: -wish[0]):
        found = known.get(tag) or sisters.get(tag.partition("-")[0])
        if found and weight > 0:
            return found
    return ENGLISH


@lru_cache(maxsize=1)
def languages() -> Mapping[str, str]:
    """Each language by its code, with what its speakers call it: `de`, `Deutsch`."""
    codes = (ENGLISH, *sorted(path.stem for path in CATALOGUES.glob("*.po")))
    return {code: _name(Locale.parse(code, sep="-")) for code in codes}


def direction_of(language: str) -> str:
    """`ltr`, or `rtl` for what is written from right to left."""
    return locale_of(language).text_direction


def number(value: float, digits: int | None = None) -> str:
    """As people write it: `1,234.5` or `1.234,5`; with so many decimals, or those it has."""
    if digits is None:
        return format_decimal(value, locale=locale_of(current_language()), decimal_quantization=False)
    return format_decimal(value, f"#,##0.{'0' * digits}", locale=locale_of(current_language()))


@lru_cache(maxsize=16)
def locale_of(language: str) -> Locale:
    """How numbers and dates are written. Our English has British dates."""
    return Locale.parse("en-GB" if language == ENGLISH else language, sep="-")


def _name(locale: Locale) -> str:
    name = locale.get_language_name() or str(locale)
    return name[0].upper() + name[1:]


@dataclass(frozen=True)
class Catalogue:
    """The texts of one language. `browser` has those that our JavaScript shows."""

    texts: NullTranslations
    browser: Mapping[str, str]


@lru_cache(maxsize=16)
def catalogue(language: str) -> Catalogue:
    """Read when somebody speaks that language for the first time."""
    if language == ENGLISH:
        return Catalogue(NullTranslations(), {})
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        messages = read_po(file, locale=Locale.parse(language, sep="-"))
    # gettext reads compiled catalogues alone; compiled here, nobody can forget to do it.
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    texts = GNUTranslations(compiled)
    keys = (str(message.id) for message in messages if any(place.endswith(".js") for place, _line in message.locations))
    return Catalogue(texts, {key: texts.gettext(key) for key in keys})
