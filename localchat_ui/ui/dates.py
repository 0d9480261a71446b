"""How long ago something was, as the headings of the conversation list say it."""

from __future__ import annotations

from datetime import date, datetime

from babel.dates import format_date, format_skeleton

from localchat_ui.conversation import utc_now
from localchat_ui.i18n import _, current_language, locale_of
from localchat_ui.text import N_

PINNED = N_("Pinned")
# By the day, not by the hour, and by the days of the machine the program runs on.
_SPANS = ((0, N_("Today")), (1, N_("Yesterday")), (7, N_("Previous 7 days")), (30, N_("Previous 30 days")))


def age_of(moment: datetime, today: date) -> str:
    """The span of days in which a moment lies, or its month when it is longer ago."""
    day = moment.astimezone().date()
    days = (today - day).days
    span = next((name for span, name in _SPANS if days <= span), None)
    return _(span) if span else format_skeleton("yMMMM", day, locale=locale_of(current_language()))


def local_today() -> date:
    return utc_now().astimezone().date()


def day_of(moment: datetime) -> str:
    """`today`, `yesterday`, or `3 March 2026`."""
    day = moment.astimezone().date()
    days = (local_today() - day).days
    if days in (0, 1):
        return (_("today"), _("yesterday"))[days]
    return format_date(day, "long", locale=locale_of(current_language()))
