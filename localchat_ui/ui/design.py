"""What every page begins with: the design language of `markdown/theme.py`, its rules, and the browser's functions."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui

from localchat_ui.markdown.theme import (
    COMMENTS,
    DARK,
    DARK_CODE,
    LIGHT,
    LIGHT_CODE,
    MARKDOWN,
    SCALE,
    code_colours,
    variables,
)
from localchat_ui.ui import icons, install, page_language
from localchat_ui.ui.components.element import root_path

LIT = "body:not(.body--dark)"
ROOM = Path(__file__).parent
# What must happen in the browser at once, without asking the server; the first is what the others build on.
SCRIPTS = (
    *("page", "upload", "attachments", "away", "clipboard", "composer", "drafts", "focus", "keys", "look", "panels"),
    *("previews", "scrolling", "found", "sent", "speech", "start"),
)


def apply() -> None:
    """Put colours, rules, the language and the browser's own few functions on the current page."""
    page_language.apply()
    # Quasar's page would be a second <main>, and a page has one main part.
    (frame,) = ui.context.client.page_container
    frame.tag = "div"
    frame.classes("q-page")
    ui.colors(primary="var(--accent)", dark=DARK["raised"], dark_page=DARK["page"])
    ui.add_css("\n".join((_stylesheet(), MARKDOWN, (ROOM / "style.css").read_text(encoding="utf-8"))))
    ui.add_head_html(f"<script>{_script()}</script>")
    install.offer(root_path(), light=LIGHT["page"], dark=DARK["page"])
    # The browser draws the right background before any of the page's own code has run.
    ui.add_head_html('<meta name="color-scheme" content="light dark">')


def _script() -> str:
    return "\n".join((ROOM / "browser" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


def _stylesheet() -> str:
    icon_variables = {f"icon-{action}": icons.data_url(icon) for action, icon in icons.BY_ACTION.items()}
    rules = [variables(":root", LIGHT | SCALE | icon_variables), variables("body.body--dark", DARK)]
    rules += [f'[data-action="{action}"] {{ --icon: var(--icon-{action}); }}' for action in icons.BY_ACTION]
    rules.append(f"@media all {{ {code_colours(LIGHT_CODE, LIT)} }}")
    rules.append(f"@media screen {{ {code_colours(DARK_CODE, 'body.body--dark')} }}")
    # Paper is white, whatever the screen is.
    rules.append(f"@media print {{ {variables('body.body--dark', LIGHT)} }}")
    return "\n".join([*rules, f"{LIT} {COMMENTS}"])
