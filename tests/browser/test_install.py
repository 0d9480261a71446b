"""The page as an app that a browser installs."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Browser, expect

from .conftest import STEADY
from .server import Server
from .visitor import PATIENCE, Visitor


def test_whoever_opens_the_app_while_the_program_does_not_run_is_told(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, *STEADY) as server, browser.new_context() as context:
        context.set_default_timeout(PATIENCE)
        anna = Visitor(context.new_page(), server).open()
        anna.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        server.stop()

        anna.page.goto(f"{server.url}/c/somewhere")

        expect(anna.page.get_by_role("heading", name="LocalChat is not running")).to_be_visible()
        server.start()
        anna.page.goto(f"{server.url}/")
        expect(anna.box).to_be_visible()


def test_the_browser_finds_nothing_wrong_with_the_manifest(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, *STEADY) as server, browser.new_context() as context:
        anna = Visitor(context.new_page(), server).open()
        devtools = context.new_cdp_session(anna.page)

        manifest = devtools.send("Page.getAppManifest")
        assert manifest["errors"] == []
        assert json.loads(manifest["data"])["name"] == "LocalChat"
        for icon in json.loads(manifest["data"])["icons"]:
            answer = anna.page.request.get(f"{server.url}/{icon['src']}")
            assert (answer.status, answer.headers["content-type"]) == (200, icon["type"])
