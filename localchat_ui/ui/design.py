"""The design language: colour roles for light and dark, type scale, spacing. `style.css` speaks only these names."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui
from pygments.formatters import HtmlFormatter

from localchat_ui.ui import icons, install, page_language
from localchat_ui.ui.components.element import root_path

# Every text role keeps a contrast of at least 4.5 : 1 on `page`, `raised` and `sunken` of its theme.
LIGHT = {
    "page": "#fcfbf9",
    "raised": "#ffffff",
    "sunken": "#f3f1ec",
    "line": "#e2dfd7",
    "text": "#1d1c1a",
    "muted": "#66635b",
    "accent": "#1c6b59",
    "on-accent": "#ffffff",
    "accent-soft": "#e3f0ec",
    "danger": "#a3261b",
    "danger-soft": "#fbeae8",
    "warning": "#8a5a00",
    "warning-soft": "#fbf0d9",
    "shadow": "0 1px 2px rgb(40 35 20 / 6%), 0 6px 24px rgb(40 35 20 / 7%)",
}
DARK = {
    "page": "#171816",
    "raised": "#20211f",
    "sunken": "#111210",
    "line": "#343530",
    "text": "#e9e7e1",
    "muted": "#a3a096",
    "accent": "#7fcab5",
    "on-accent": "#0c211b",
    "accent-soft": "#21332d",
    "danger": "#f2998f",
    "danger-soft": "#3a2320",
    "warning": "#e3b563",
    "warning-soft": "#352b18",
    "shadow": "0 1px 2px rgb(0 0 0 / 40%), 0 8px 28px rgb(0 0 0 / 35%)",
}
SCALE = {
    "font": '-apple-system, "Segoe UI", system-ui, "Noto Sans", "Helvetica Neue", sans-serif',
    "mono": 'ui-monospace, "Cascadia Code", "SF Mono", Menlo, "DejaVu Sans Mono", monospace',
    "small": "0.8125rem",
    "body": "1rem",
    "large": "1.5rem",
    "radius": "0.75rem",
    "measure": "46rem",
    "header": "3.5rem",
    "sidebar": "17rem",
    "panel": "20rem",
}
CODE_STYLES = (("all", "body:not(.body--dark)", "default"), ("screen", "body.body--dark", "github-dark"))
# Pygments' own colour for them has too little contrast on `sunken`.
COMMENTS = "body:not(.body--dark) .code code :is(.c, .ch, .cm, .cpf, .c1, .cs) { color: #2f6565; }"
ROOM = Path(__file__).parent
# What must happen in the browser at once, without asking the server; the first is what the others build on.
SCRIPTS = (
    *("page", "upload", "attachments", "away", "clipboard", "composer", "drafts", "focus", "keys", "look", "panels"),
    *("previews", "scrolling", "found", "sent", "speech", "start"),
)


def apply() -> None:
    """Put colours, rules, the language and the browser's own few functions on the current page."""
    page_language.apply()
    ui.colors(primary="var(--accent)", dark=DARK["raised"], dark_page=DARK["page"])
    ui.add_css("\n".join((_stylesheet(), (ROOM / "style.css").read_text(encoding="utf-8"))))
    ui.add_head_html(f"<script>{_script()}</script>")
    install.offer(root_path(), light=LIGHT["page"], dark=DARK["page"])
    # The browser draws the right background before any of the page's own code has run.
    ui.add_head_html('<meta name="color-scheme" content="light dark">')


def _script() -> str:
    return "\n".join((ROOM / "browser" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


def _stylesheet() -> str:
    icon_variables = {f"icon-{action}": icons.data_url(icon) for action, icon in icons.BY_ACTION.items()}
    rules = [_variables(":root", LIGHT | SCALE | icon_variables), _variables("body.body--dark", DARK)]
    rules += [f'[data-action="{action}"] {{ --icon: var(--icon-{action}); }}' for action in icons.BY_ACTION]
    rules += [f"@media {medium} {{ {_code_colours(theme, style)} }}" for medium, theme, style in CODE_STYLES]
    # Paper is white, whatever the screen is.
    rules.append(f"@media print {{ {_variables('body.body--dark', LIGHT)} }}")
    return "\n".join([*rules, COMMENTS])


def _code_colours(theme: str, style: str) -> str:
    definitions: str = HtmlFormatter(style=style, nobackground=True).get_style_defs(f"{theme} .code code")  # type: ignore[no-untyped-call]
    return definitions


def _variables(selector: str, values: dict[str, str]) -> str:
    return f"{selector} {{ {' '.join(f'--{name}: {value};' for name, value in values.items())} }}"
