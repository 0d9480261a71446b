"""The languages of the page: which one a visitor gets, how it is spoken, and what each catalogue has to hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest
from babel import Locale
from babel.messages.pofile import read_po
from nicegui.language import Language

from localchat_ui.history.errors import PresetRefusedError
from localchat_ui.i18n import CATALOGUES, language_of_scope, languages, ngettext, number, speaking, translated
from localchat_ui.library.model_file import readable_size
from localchat_ui.text import Text, counted
from tests.languages import TEMPLATE, bracketed, template


@pytest.fixture
def spoken(tmp_path: Path) -> Iterator[None]:
    with bracketed(tmp_path, "de", "ar", "zh-CN"):
        yield


@pytest.mark.usefixtures("spoken")
@pytest.mark.parametrize(
    ("accepted", "cookie", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "", "de"),
        ("en-GB, de;q=0.9", "", "en"),
        ("fr, ar;q=0.5, de;q=0.7", "", "de"),
        ("zh-TW", "", "zh-CN"),
        ("DE", "", "de"),
        ("de;q=0, xx, *", "", "en"),
        ("", "", "en"),
        ("de;q=many, ;;;,,", "", "en"),
        ("de", "localchat_language=ar", "ar"),
        ("de", "other=1; localchat_language=en", "en"),
        ("de", "localchat_language=../../etc/passwd", "de"),
    ],
)
def test_the_browser_says_the_language_and_a_choice_overrides_it(accepted: str, cookie: str, language: str) -> None:
    headers = [(b"accept-language", accepted.encode()), (b"cookie", cookie.encode())]
    assert language_of_scope({"type": "http", "headers": headers}) == language


@pytest.mark.usefixtures("spoken")
def test_languages_are_called_what_their_speakers_call_them() -> None:
    assert languages() == {"en": "English", "ar": "العربية", "de": "Deutsch", "zh-CN": "中文"}


@pytest.mark.usefixtures("spoken")
def test_what_other_rooms_say_is_english_to_all_but_the_page() -> None:
    error = PresetRefusedError(80, 100_000)
    english = "A preset needs a name of 1 to 80 characters and at most 100,000 of text."
    assert str(error) == translated(error) == english
    within = Text.joined(" · ", ("plain", "", Text("No model yet")))
    with speaking("de"):
        assert translated(error) == "⟦A preset needs a name of 1 to 80 characters and at most 100.000 of text.⟧"
        assert translated(within) == "plain · ⟦No model yet⟧"
        assert translated("the disk is full; free some space and try again").startswith("⟦the disk")
        assert translated("{braces} of somebody else") == "{braces} of somebody else"
        assert translated("") == ""
    assert str(within) == "plain · No model yet"


@pytest.mark.usefixtures("spoken")
def test_numbers_have_the_plural_form_and_the_marks_of_the_language() -> None:
    assert str(counted("{n} token", "{n} tokens", 1)) == "1 token"
    assert str(counted("{n} token", "{n} tokens", 1234)) == "1,234 tokens"
    assert (number(1234.56), number(1234.56, 1), number(2, 0), number(0.25, 2)) == ("1,234.56", "1,234.6", "2", "0.25")
    with speaking("ar"):
        forms = [ngettext("{n} token", "{n} tokens", n)[-2] for n in (0, 1, 2, 3, 11, 100)]
        assert forms == list("012345")
        assert translated(counted("{n} token", "{n} tokens", 3)) == "⟦3 tokens 3⟧"
    with speaking("de"):
        assert number(1234.56, 1) == "1.234,6"
        assert translated(Text("{free} free", free=readable_size(4.7e9))) == "⟦⟦4,7 GB⟧ free⟧"


def test_the_template_has_the_texts_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = CATALOGUES.parents[1]
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root / "scripts"))
    import messages

    messages.extract(tmp_path / "messages.pot")
    made = (tmp_path / "messages.pot").read_text(encoding="utf-8")
    assert made == TEMPLATE.read_text(encoding="utf-8"), "run `make messages`"


@pytest.mark.parametrize("file", sorted(CATALOGUES.glob("*.po")), ids=lambda file: file.stem)
def test_a_catalogue_says_every_text_with_the_same_values(file: Path) -> None:
    assert file.stem in get_args(Language), "NiceGUI's and Quasar's own texts are to be found by this code"
    locale = Locale.parse(file.stem, sep="-")
    texts = read_po(BytesIO(file.read_bytes()), locale)
    missing = [message.id for message in template() if message.id and message.id not in texts]
    assert not missing, "run `make messages`, and translate"
    for message in texts:
        if not message.id:
            continue
        keys = [message.id] if isinstance(message.id, str) else [*message.id]
        said = [message.string] if isinstance(message.string, str) else [*message.string]
        assert not message.fuzzy, message.id
        assert all(said), f"not translated: {message.id}"
        assert len(said) == (1 if len(keys) == 1 else texts.num_plurals), message.id
        for text in said:
            # A form for one alone may say the number as a word.
            assert _values(text) in (_values(keys[-1]), _values(keys[-1]) - ({"n"} if len(keys) > 1 else set())), text
            assert not set(re.findall(r'[<>&"]', text)) - set("".join(keys)), f"goes into HTML as it is: {text}"
            assert (text[-1:] == "\n") == (keys[0][-1:] == "\n"), text


def _values(text: str) -> set[str]:
    return {name for _before, name, _spec, _conversion in Formatter().parse(text) if name is not None}
