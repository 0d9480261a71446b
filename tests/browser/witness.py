"""Watches pages for what no text may make them do: run a script, call somebody, leave, touch what is around it."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Frame, Page, Request, Route, WebSocket

from tests.browser.server import Server
from tests.browser.visitor import Visitor

# Runs in every document before anything else does. What the policy blocks counts too: it should not have come so far.
WATCH = """
for (const name of ["alert", "confirm", "prompt", "print", "open"])
  window[name] = (...told) => { accuse(`ran ${name}(${told})`); return null; };
addEventListener("securitypolicyviolation", (event) =>
  accuse(`${event.violatedDirective} had to block ${event.blockedURI} ${event.sample}`), true);
"""

# What handlers in attributes wait for, sent to every element that holds somebody's words; and what they look like.
PROVOKE = """() => {
  const found = [];
  const words = "header, nav, [role=log] article, [role=alert], [role=dialog], dialog, [role=menu]";
  const events = ["load", "error", "focus", "mouseover", "mouseenter", "pointerover", "pointerenter", "animationstart",
    "animationend", "transitionend", "toggle", "beforetoggle", "begin", "start", "scroll", "loadstart", "pageshow"];
  for (const place of document.querySelectorAll(words)) {
    for (const element of place.querySelectorAll("*")) {
      for (const name of events) element.dispatchEvent(new Event(name));
      for (const { name } of element.attributes) if (/^on/i.test(name)) found.push(`${element.outerHTML} listens`);
      for (const name of ["href", "src", "action", "formAction", "data"]) {
        const there = element.getAttribute(name) && element[name];
        if (there && !/^(https?|mailto|data:image.png)/.test(there)) found.push(`${name}=${there}`);
      }
    }
  }
  const never = "script, style, link, meta, base, iframe, object, embed, img, image, picture, video, audio, canvas," +
    "svg, form, input:not([disabled]), select, textarea, dialog, template, slot, marquee, [contenteditable]," +
    ":not(pre)[tabindex], [autofocus], [popover], [accesskey], [name], [ping], [is]," +
    "a:not([rel~=noopener][target=_blank])";
  for (const element of document.querySelectorAll(".words *, .thoughts *")) {
    const takesAName = element.id && !/^c\\d+$/.test(element.id);
    if (takesAName || element.matches(never)) found.push(`in a message: ${element.outerHTML.slice(0, 200)}`);
  }
  return found;
}"""

# At points all over the page: who is drawn there? Nobody's words lie over another message or outside of the log; and
# nothing makes the page wider than it is.
LOOK = """() => {
  const found = [];
  const log = document.querySelector("[role=log]");
  const main = [...document.querySelectorAll("main")].at(-1);
  const view = main.getBoundingClientRect();
  const dialog = document.querySelector("dialog[open], .q-dialog, .q-menu");
  for (let x = 8; x < innerWidth && !dialog; x += innerWidth / 24) {
    for (let y = 4; y < innerHeight; y += innerHeight / 24) {
      const hit = document.elementFromPoint(x, y);
      if (!hit || !log.contains(hit)) continue;
      const inView = x >= view.left && x <= view.right && y >= view.top && y <= view.bottom;
      if (!inView) found.push(`words lie over the page at ${x}, ${y}: ${hit.outerHTML.slice(0, 200)}`);
      const own = hit.closest("article")?.getBoundingClientRect();
      if (own && (x < own.left - 40 || x > own.right + 40 || y < own.top - 1 || y > own.bottom + 1))
        found.push(`words lie outside of their message at ${x}, ${y}: ${hit.outerHTML.slice(0, 200)}`);
    }
  }
  for (const element of [document.documentElement, document.body, main])
    if (element.scrollWidth > element.clientWidth) found.push(`${element.tagName} got ${element.scrollWidth} wide`);
  return found;
}"""

SCROLL = """(share) => {
  const main = [...document.querySelectorAll("main")].at(-1);
  main.scrollTop = share * main.scrollHeight;
}"""

# How everything around the messages looks, and a message that is always there: to be compared between two pages.
LANDMARKS = """(texts) => {
  const look = (element, withPlace) => {
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const size = [box.x, box.width, ...(withPlace ? [box.y, box.height] : [])];
    const values = [...style].filter((name) => withPlace || !/block|height|origin|bottom|top|^--place/.test(name));
    return { size, style: Object.fromEntries(values.map((name) => [name, style.getPropertyValue(name)])) };
  };
  const seen = {};
  const keep = (name, { size, style }) => {
    for (const [key, value] of Object.entries({ ...style, size: String(size) })) seen[`${name}: ${key}`] = value;
  };
  const landmarks = { page: "body", header: "header", list: "nav[aria-label=Conversations]",
    view: "main:not(:has(main))", box: "textarea[aria-label=Message]", send: "button[aria-label=Send]" };
  for (const [name, selector] of Object.entries(landmarks)) keep(name, look(document.querySelector(selector), true));
  const articles = [...document.querySelectorAll("[role=log] article")];
  for (const text of texts) {
    const article = articles.find((one) => one.querySelector(".words").innerText.includes(text));
    [article, ...article.querySelectorAll(".words, .words *, .thoughts *")].forEach((element, n) =>
      keep(`${text} ${n}`, look(element, false)));
  }
  return seen;
}"""


class Witness:
    """Sees all pages of a browser profile, from before their first script on. `accusations` has to stay empty."""

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.accusations: list[str] = []
        self._host = urlsplit(server.url).netloc
        context.expose_binding("accuse", lambda _, what: self.accusations.append(what))
        context.add_init_script(WATCH)
        context.route(lambda url: urlsplit(url).netloc != self._host, self._on_foreign)
        context.on("request", self._on_request)
        context.on("page", lambda page: self.accusations.append(f"opened {page.url}"))
        for page in context.pages:
            self._follow(page)

    def inspect(self, person: Visitor, *, at: str = "") -> None:
        """Provoke what sleeps in the page, look at it from top to bottom, and see that nobody did anything."""
        page = person.page
        found: list[str] = page.evaluate(PROVOKE)
        for share in (0, 0.25, 0.5, 0.75, 1):
            page.evaluate(SCROLL, share)
            found += page.evaluate(LOOK)
        found += self.accusations
        assert not found, "\n".join([at, *found[:20]])

    def _on_foreign(self, route: Route) -> None:
        self.accusations.append(f"asked for {route.request.url}")
        route.abort()

    def _on_request(self, request: Request) -> None:
        # The service worker asks for the address of the page again.
        is_workers = request.service_worker is not None and urlsplit(request.url).netloc == self._host
        if "evil" in request.url and not request.is_navigation_request() and not is_workers:
            self.accusations.append(f"asked for {request.url}")

    def _follow(self, page: Page) -> None:
        page.on("framenavigated", self._on_navigation)
        page.on("websocket", self._on_socket)

    def _on_navigation(self, frame: Frame) -> None:
        if frame.parent_frame or urlsplit(frame.url).netloc not in ("", self._host):
            self.accusations.append(f"went to {frame.url}")

    def _on_socket(self, socket: WebSocket) -> None:
        if urlsplit(socket.url).netloc != self._host:
            self.accusations.append(f"called {socket.url}")


def landmarks(person: Visitor, *texts: str) -> set[tuple[str, str]]:
    """How the page looks around its messages, and the messages with these texts."""
    person.box.focus()
    return set(person.page.evaluate(LANDMARKS, list(texts)).items())
