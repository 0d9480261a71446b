"""Line icons as Quasar takes them: SVG paths on a 24 by 24 grid, so no icon font has to load."""

from __future__ import annotations

from urllib.parse import quote

_STROKE = "@@fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round"


def _line(*paths: str) -> str:
    return "&&".join(path + _STROKE for path in paths) + "|0 0 24 24"


MENU = _line("M4 6.5h16", "M4 12h16", "M4 17.5h16")
NEW = _line("M12 5v14", "M5 12h14")
SETTINGS = _line("M4 8h9", "M17 8h3", "M4 16h3", "M11 16h9", "M15 6v4", "M9 14v4")
KEYBOARD = _line(
    "M5 6.5h14a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2z",
    "M7 10.5h.01",
    "M10.3 10.5h.01",
    "M13.7 10.5h.01",
    "M17 10.5h.01",
    "M8.5 14h7",
)
SEND = _line("M12 19V5", "M6 11l6-6 6 6")
STOP = "M7.5 7.5h9v9h-9z|0 0 24 24"
MORE = _line("M5.5 12h.01", "M12 12h.01", "M18.5 12h.01").replace("1.8", "3")
CHEVRON = _line("M7 10l5 5 5-5")
CLOSE = _line("M6 6l12 12", "M18 6L6 18")
RETRY = _line("M20 12a8 8 0 1 1-2.6-5.9", "M20 4v4.5h-4.5")
UNDO = _line("M9 14L4 9l5-5", "M4 9h10.5a5.5 5.5 0 0 1 0 11H8")
EXCHANGE = _line("M8 4v14", "M4.5 14.5L8 18l3.5-3.5", "M16 20V6", "M12.5 9.5L16 6l3.5 3.5")
COPY = _line("M9 9h10v10H9z", "M5 15V5h10")
DONE = _line("M5 12.5l4.5 4.5L19 7.5")
EDIT = _line("M5 19l1-4L16.5 4.5l3 3L9 18z", "M14.5 6.5l3 3")
FORK = _line(
    "M6.5 8.5v7",
    "M6.5 4.5a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
    "M6.5 15.5a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
    "M17.5 4.5a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
    "M17.5 8.5c0 4-7 3-10.6 7",
)
ABOUT = _line("M12 11v5", "M12 8h.01", "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17")
DELETE = _line("M5 7h14", "M9.5 7V4.5h5V7", "M7 7l.8 12.5h8.4L17 7")
ACCOUNT = _line("M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8", "M4.5 20a7.5 7.5 0 0 1 15 0")
LOG_OUT = _line("M10 4.5H6.5a2 2 0 0 0-2 2v11a2 2 0 0 0 2 2H10", "M15 16l4-4-4-4", "M19 12H9.5")
MODELS = _line("M12 3.5l7.5 4.2v8.6L12 20.5l-7.5-4.2V7.7z", "M4.8 8l7.2 4 7.2-4", "M12 12v8.2")
CHIP = _line(
    *("M8 6h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2V8a2 2 0 0 1 2-2z", "M10.5 10.5h3v3h-3z"),
    *("M9.5 3v3", "M14.5 3v3", "M9.5 18v3", "M14.5 18v3", "M3 9.5h3", "M3 14.5h3", "M18 9.5h3", "M18 14.5h3"),
)
CHART = _line("M5 20V11", "M12 20V5", "M19 20v-6")
COLUMNS = _line("M4.5 5h6v14h-6z", "M13.5 5h6v14h-6z")
BACK = _line("M19 12H5", "M11 6l-6 6 6 6")
PREVIOUS = _line("M14 7l-5 5 5 5")
NEXT = _line("M10 7l5 5-5 5")
DOWN = _line("M12 5v14", "M6 13l6 6 6-6")
MICROPHONE = _line(
    "M12 4a2.5 2.5 0 0 1 2.5 2.5v5a2.5 2.5 0 0 1-5 0v-5A2.5 2.5 0 0 1 12 4z", "M6.5 11.5a5.5 5.5 0 0 0 11 0", "M12 17v3"
)
ATTACH = _line(
    "M18 11.5l-6.6 6.6a4 4 0 0 1-5.7-5.7l7.4-7.4a2.7 2.7 0 0 1 3.8 3.8l-7.3 7.3a1.3 1.3 0 0 1-1.9-1.9l6.6-6.6"
)

FILE = _line("M7 3.5h7l4.5 4.5v12.5H7a1.5 1.5 0 0 1-1.5-1.5V5A1.5 1.5 0 0 1 7 3.5z", "M14 3.5V8h4.5")

# Buttons of messages are plain HTML, a great many of them; their icons are masks in the stylesheet.
BY_ACTION = {
    "copy": COPY,
    "copied": DONE,
    "edit": EDIT,
    "regenerate": RETRY,
    "more": MORE,
    "previous": PREVIOUS,
    "next": NEXT,
    "file": FILE,
}


def data_url(icon: str) -> str:
    """The icon as an image for CSS."""
    paths, _, view_box = icon.partition("|")
    drawn = "".join(
        f"<path d='{path}' style='{style.replace('currentColor', 'black')}'/>"
        for path, _, style in (each.partition("@@") for each in paths.split("&&"))
    )
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='{view_box}'>{drawn}</svg>"
    return f'url("data:image/svg+xml,{quote(svg)}")'
