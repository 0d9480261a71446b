"""The audit log: logins, refusals and acts of administrators. It never contains a password, token or key."""

from __future__ import annotations

import json
import logging

logger = logging.getLogger("localchat_ui.audit")
logger.setLevel(logging.INFO)  # whatever LOG_LEVEL says


def audit(event: str, **details: object) -> None:
    """Log one line, whatever the details contain: a line break in a name cannot forge a second one."""
    texts = {name: str(value) for name, value in details.items()}
    line = " ".join([event, *(f"{name}={json.dumps(text)}" for name, text in texts.items())])
    logger.info("%s", line, extra={"details": {"event": event, **texts}})
