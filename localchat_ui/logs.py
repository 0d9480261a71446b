"""What the program tells of itself: a record a line, for people or as JSON. Never what people write, and no secret."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone
from typing import Literal

LogFormat = Literal["text", "json"]
TOKEN = re.compile(r"([?&]token=)[^&\s\"']+")
# So that nobody can write a record of their own into a name or an address.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {ord("\n"): "\\n"}


def set_up(level: str, form: LogFormat = "text") -> None:
    """Log to standard error. `level` is that of our own loggers: libraries, at "debug", log all that they are given."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else Text())
    number = getattr(logging, level.upper())
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler])
    logging.getLogger("localchat_ui").setLevel(number)
    # They log every address that they call.
    for library in ("alembic", "httpx", "httpx2", "httpcore", "openai", "watchfiles"):
        logging.getLogger(library).setLevel(logging.WARNING)


class Text(logging.Formatter):
    """`2026-11-26T08:00:00.000Z INFO localchat_ui.audit: login user="alice"`; what belongs to a record is indented."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time_of(record)} {record.levelname} {record.name}: {_message_of(record).translate(CONTROLS)}"
        return line + "".join(f"\n  {more}" for more in _trace_of(record).splitlines())


class Json(logging.Formatter):
    """An object a line; the details of an audit record are members of their own."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
            **getattr(record, "details", {}),
        }
        if trace := _trace_of(record):
            said["trace"] = trace
        return json.dumps(said, ensure_ascii=True)


def _time_of(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message_of(record: logging.LogRecord) -> str:
    return TOKEN.sub(r"\1***", record.getMessage())


def _trace_of(record: logging.LogRecord) -> str:
    """The traceback, if there is one."""
    trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return TOKEN.sub(r"\1***", "\n".join(part for part in (trace, record.stack_info) if part))
