"""How long ago something was, as the headings of the conversation list say it."""

from __future__ import annotations

from datetime import date, datetime

from localchat_ui.conversation import utc_now

PINNED = "Pinned"
# By the day, not by the hour, and by the days of the machine the program runs on.
_SPANS = ((0, "Today"), (1, "Yesterday"), (7, "Previous 7 days"), (30, "Previous 30 days"))
# Python would say them in the language of the machine, in the middle of an English page.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def age_of(moment: datetime, today: date) -> str:
    """The span of days in which a moment lies, or its month when it is longer ago."""
    day = moment.astimezone().date()
    days = (today - day).days
    return next((name for span, name in _SPANS if days <= span), f"{_MONTHS[day.month - 1]} {day.year}")


def local_today() -> date:
    return utc_now().astimezone().date()


def day_of(moment: datetime) -> str:
    """`today`, `yesterday`, or `3 March 2026`."""
    day = moment.astimezone().date()
    days = (local_today() - day).days
    if days in (0, 1):
        return ("today", "yesterday")[days]
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
