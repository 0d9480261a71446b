"""How many replies at a time and how many tokens a day each person may have, and who says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from sqlalchemy import select

from localchat_ui.access.database import AccessDatabase
from localchat_ui.access.errors import AccessError
from localchat_ui.access.quotas.usage import UsageCounter
from localchat_ui.access.tables import QuotaRow
from localchat_ui.access.visitor import Visitor
from localchat_ui.settings import Settings

REQUESTS_PER_MINUTE = 300
GENERATIONS_PER_USER = 2
EVERYBODY = ""


@dataclass(frozen=True)
class Quota:
    """0 is any number, None leaves it to the next wider rule."""

    requests_per_minute: int | None = None
    generations_per_user: int | None = None
    tokens_per_day: int | None = None

    def over(self, wider: Quota) -> Quota:
        """What holds when `wider` says the rest."""
        return Quota(**{name: asdict(wider)[name] if own is None else own for name, own in asdict(self).items()})


class Quotas:
    """Who is limited by how much: what an administrator has set for one person, or for everybody with an account; then
    the settings; then the program's own defaults.

    Nobody is limited while everything is open on this machine: there is one person, and that one owns the machine.
    """

    def __init__(self, settings: Settings, database: AccessDatabase) -> None:
        self.configured = Quota(settings.requests_per_minute, settings.generations_per_user, settings.tokens_per_day)
        # Always one less than there is room for, as long as there is room for two.
        most = max(1, min(GENERATIONS_PER_USER, settings.parallel - 1))
        self.built_in = Quota(REQUESTS_PER_MINUTE, most, 0)
        self._database = database
        self._writing: Counter[str] = Counter()
        self._usage = UsageCounter(database)

    def open(self) -> None:
        """From now on tokens are counted."""
        self._usage.open()

    async def close(self) -> None:
        """Wait until all that was counted is written."""
        await self._usage.close()

    async def of(self, visitor: Visitor) -> Quota:
        """What holds for this visitor; nothing in it is None."""
        otherwise = self.configured.over(Quota(0, 0, 0) if visitor.auth_method == "open" else self.built_in)
        if visitor.user is None:
            return otherwise
        stored = await self.stored()
        own = stored.get(visitor.user.id, Quota())
        return own.over(stored.get(EVERYBODY, Quota())).over(otherwise)

    async def claim(self, visitor: Visitor) -> Claim:
        """The right to have replies written. Raises AccessError when the tokens of the day are used up."""
        quota = await self.of(visitor)
        used, seconds = await self.used_today(visitor) if quota.tokens_per_day else (0, 0)
        if quota.tokens_per_day and used >= quota.tokens_per_day:
            message = f"The {quota.tokens_per_day:,} tokens of a day are used up. Try again in {_in_words(seconds)}."
            raise AccessError(429, "tokens_used_up", message, {"Retry-After": str(seconds)})
        return Claim(self._writing, visitor.usage_key, quota.generations_per_user or 0)

    async def used_today(self, visitor: Visitor) -> tuple[int, int]:
        """The tokens of this person's day, which began with its first reply, and the seconds that are left of it."""
        return await self._usage.used_today(visitor.usage_key)

    def record_usage(self, visitor: Visitor | None, n_tokens: int) -> None:
        """Count tokens; called from any thread.

        Without a limit, too, because one may be set during the day; but not where nobody could set one.
        """
        if visitor is None or n_tokens <= 0 or (visitor.user is None and not self.configured.tokens_per_day):
            return
        self._usage.add(visitor.usage_key, n_tokens)

    async def stored(self) -> dict[str, Quota]:
        """What administrators have set, by the id of the user, or for EVERYBODY."""
        known, quotas = self._database.recall("quotas")
        if not known:
            async with self._database.reading() as session:
                rows = await session.scalars(select(QuotaRow))
                quotas = {row.user_id: Quota(**{name: getattr(row, name) for name in asdict(Quota())}) for row in rows}
                self._database.remember("quotas", quotas)
        return dict(quotas)

    async def store(self, quota: Quota, user_id: str = EVERYBODY) -> None:
        """Set what holds for one person, or everybody, from now on."""
        async with self._database.writing() as session:
            await session.merge(QuotaRow(user_id=user_id, **asdict(quota)))


class Claim:
    """The replies that one message or one request has under way. Whoever made it has to `release` it."""

    def __init__(self, writing: Counter[str], person: str, most: int) -> None:
        self._writing = writing
        self._person = person
        self._most = most
        self._taken = 0

    def take(self, number: int = 1) -> None:
        """Begin so many replies; raises AccessError when the person would have more than allowed."""
        if self._most and self._writing[self._person] + number > self._most:
            at_a_time = "1 reply" if self._most == 1 else f"{self._most} replies"
            message = f"Each person may have {at_a_time} written at a time. Wait until one is finished."
            raise AccessError(429, "too_many_generations", message, {"Retry-After": "5"})
        self._writing[self._person] += number
        self._taken += number

    def take_at_least(self, number: int) -> None:
        """Of a request that turns out to want several replies."""
        self.take(max(0, number - self._taken))

    def release(self) -> None:
        """All of them are finished; a second time does no harm."""
        self._writing[self._person] -= self._taken
        self._taken = 0
        if self._writing[self._person] <= 0:
            del self._writing[self._person]


def _in_words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 5400 else f"{seconds // 3600} h"
