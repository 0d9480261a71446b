"""What every page begins with: the design language of `markdown/theme.py`, its rules, and the browser's functions."""

from __future__ import annotations

import json
from pathlib import Path

from nicegui import ui

from localchat_ui.access import current_owner
from localchat_ui.markdown import theme
from localchat_ui.ui import icons, install, page_language
from localchat_ui.ui.components.element import root_path

LIT = "body:not(.body--dark)"
ROOM = Path(__file__).parent
# What must happen in the browser at once, without asking the server; the first is what the others build on.
SCRIPTS = (
    *("page", "upload", "attachments", "away", "clipboard", "composer", "drafts", "focus", "keys", "look", "panels"),
    *("previews", "scrolling", "found", "sent", "speech", "start"),
)


def tell_browser(max_megabytes: float) -> None:
    """What the browser's own functions read: whose page it is, its prefix, and how large an upload may be."""
    told = {"owner": current_owner() or "", "root": root_path(), "maxMegabytes": max_megabytes}
    script = json.dumps(told).replace("<", "\\u003c")
    ui.add_head_html(f"<script>Object.assign(document.documentElement.dataset, {script})</script>")


def apply() -> None:
    """Put colours, rules, the language and the browser's own few functions on the current page."""
    page_language.apply()
    # Quasar's page would be a second <main>, and a page has one main part.
    (frame,) = ui.context.client.page_container
    frame.tag = "div"
    frame.classes("q-page")
    ui.colors(primary="var(--accent)", dark=theme.DARK["raised"], dark_page=theme.DARK["page"])
    ui.add_css("\n".join((_stylesheet(), theme.MARKDOWN, (ROOM / "style.css").read_text(encoding="utf-8"))))
    ui.add_head_html(f"<script>{_script()}</script>")
    install.offer(root_path(), light=theme.LIGHT["page"], dark=theme.DARK["page"])
    # The browser draws the right background before any of the page's own code has run.
    ui.add_head_html('<meta name="color-scheme" content="light dark">')


def _script() -> str:
    return "\n".join((ROOM / "browser" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


def _stylesheet() -> str:
    icon_variables = {f"icon-{action}": icons.data_url(icon) for action, icon in icons.BY_ACTION.items()}
    rules = [
        theme.variables(":root", theme.LIGHT | theme.SCALE | icon_variables),
        theme.variables("body.body--dark", theme.DARK),
    ]
    rules += [f'[data-action="{action}"] {{ --icon: var(--icon-{action}); }}' for action in icons.BY_ACTION]
    rules.append(f"@media all {{ {theme.code_colours(theme.LIGHT_CODE, LIT)} }}")
    rules.append(f"@media screen {{ {theme.code_colours(theme.DARK_CODE, 'body.body--dark')} }}")
    # Paper is white, whatever the screen is.
    rules.append(f"@media print {{ {theme.variables('body.body--dark', theme.LIGHT)} }}")
    return "\n".join([*rules, f"{LIT} {theme.COMMENTS}"])
