"""What lets a browser install the page as an app: a manifest, icons, and a page for when the program does not run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from string import Template

from nicegui import App, ui
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from localchat_ui.i18n import _, direction_of, language_of_scope, speaking
from localchat_ui.text import N_

ROOM = Path(__file__).parent
ICON = ROOM / "app_icon" / "icon.svg"
# Paths in it are relative to its own, so that it stays right behind a proxy with a prefix.
MANIFEST = {
    "name": "LocalChat",
    "short_name": "LocalChat",
    "description": N_("A private chat with a language model that runs on your own machine"),
    "start_url": "./",
    "scope": "./",
    "id": "./",
    "display": "standalone",
    "background_color": "#fcfbf9",
    "theme_color": "#fcfbf9",
    "icons": [
        {"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"},
        {"src": "icon-192.png", "sizes": "192x192", "type": "image/png"},
        {"src": "icon-512.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
    ],
}
FILES = {
    "/icon.svg": ICON,
    "/icon-192.png": ROOM / "app_icon" / "icon-192.png",
    "/icon-512.png": ROOM / "app_icon" / "icon-512.png",
    "/service-worker.js": ROOM / "browser" / "service_worker.js",
}
HEAD = """
<link rel="manifest" href="{root}/manifest.webmanifest" crossorigin="use-credentials">
<link rel="apple-touch-icon" href="{root}/icon-192.png">
<meta name="theme-color" media="(prefers-color-scheme: light)" content="{light}">
<meta name="theme-color" media="(prefers-color-scheme: dark)" content="{dark}">
<script>
navigator.serviceWorker?.register(new URL("service-worker.js", document.querySelector("link[rel=manifest]").href))
  .catch(() => {{}});
</script>
"""


def register(app: App) -> None:
    """The routes of an app that can be installed. They hold nothing of anybody, and are open to all."""

    @app.get("/manifest.webmanifest", include_in_schema=False)
    async def manifest(request: Request) -> Response:
        with speaking(language_of_scope(request.scope)):
            told = MANIFEST | {"description": _(str(MANIFEST["description"]))}
        return JSONResponse(told, media_type="application/manifest+json")

    @app.get("/offline", include_in_schema=False)
    async def offline(request: Request) -> Response:
        return HTMLResponse(offline_page(language_of_scope(request.scope)), headers={"Cache-Control": "no-cache"})

    for path, file in FILES.items():
        app.add_api_route(path, _serving(file), include_in_schema=False)


def offer(root: str, *, light: str, dark: str) -> None:
    """Let the page that is being made be installed. The browser's own frame is drawn in `light` or `dark`."""
    ui.add_head_html(HEAD.format(root=escape(root), light=light, dark=dark))


def offline_page(language: str) -> str:
    """What the browser keeps, and shows when nobody answers."""
    with speaking(language):
        texts = {
            "title": _("LocalChat is not running"),
            "text": _("Start it on the machine it is installed on, then try again. Your conversations are safe there."),
            "again": _("Try again"),
        }
    page = Template((ROOM / "offline.html").read_text(encoding="utf-8"))
    escaped = {name: escape(text) for name, text in texts.items()}
    return page.substitute(escaped, language=language, direction=direction_of(language))


def _serving(file: Path) -> Callable[[], Awaitable[Response]]:
    async def serve() -> Response:
        return FileResponse(file, headers={"Cache-Control": "no-cache"})

    return serve
