"""The design language: colour roles for light and dark, type scale, spacing. Stylesheets speak only these names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pygments.formatters import HtmlFormatter

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
LIGHT_CODE, DARK_CODE = "default", "github-dark"
# Pygments' own colour for them in the light has too little contrast on `sunken`.
COMMENTS = ".code code :is(.c, .ch, .cm, .cpf, .c1, .cs) { color: #2f6565; }"
# The rules for text that became HTML.
MARKDOWN = (Path(__file__).parent / "markdown.css").read_text(encoding="utf-8")


def variables(selector: str, values: Mapping[str, str]) -> str:
    """A rule with these values as custom properties."""
    return f"{selector} {{ {' '.join(f'--{name}: {value};' for name, value in values.items())} }}"


def code_colours(style: str, theme: str = "") -> str:
    """Rules for code in one of Pygments' styles, below the selector `theme`."""
    definitions: str = HtmlFormatter(style=style, nobackground=True).get_style_defs(f"{theme} .code code".strip())  # type: ignore[no-untyped-call]
    return definitions
