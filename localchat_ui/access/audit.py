"""What happened at the door, for whoever has to answer for it. Never a password, token or key."""

from __future__ import annotations

import json
import logging

logger = logging.getLogger("localchat_ui.audit")
logger.setLevel(logging.INFO)  # also when LOG_LEVEL asks for less: these lines are not chatter


def audit(event: str, **details: object) -> None:
    """One line, whatever the details hold: line breaks in a name cannot forge a second one."""
    texts = {name: str(value) for name, value in details.items()}
    line = " ".join([event, *(f"{name}={json.dumps(text)}" for name, text in texts.items())])
    logger.info("%s", line, extra={"details": {"event": event, **texts}})
