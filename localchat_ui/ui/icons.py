"""Line icons as Quasar takes them: SVG paths on a 24 by 24 grid, so no icon font has to load."""

_STROKE = "@@fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round"


def _line(*paths: str) -> str:
    return "&&".join(path + _STROKE for path in paths) + "|0 0 24 24"


MENU = _line("M4 6.5h16", "M4 12h16", "M4 17.5h16")
NEW = _line("M12 5v14", "M5 12h14")
SETTINGS = _line("M4 8h9", "M17 8h3", "M4 16h3", "M11 16h9", "M15 6v4", "M9 14v4")
SEND = _line("M12 19V5", "M6 11l6-6 6 6")
STOP = "M7.5 7.5h9v9h-9z|0 0 24 24"
MORE = _line("M5.5 12h.01", "M12 12h.01", "M18.5 12h.01")
CHEVRON = _line("M7 10l5 5 5-5")
CLOSE = _line("M6 6l12 12", "M18 6L6 18")
RETRY = _line("M20 12a8 8 0 1 1-2.6-5.9", "M20 4v4.5h-4.5")
EXCHANGE = _line("M8 4v14", "M4.5 14.5L8 18l3.5-3.5", "M16 20V6", "M12.5 9.5L16 6l3.5 3.5")
