"""Quotas: who sets them, what applies to a visitor, and the replies that count against them."""

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
from localchat_ui.text import Text, counted

REQUESTS_PER_MINUTE = 300
GENERATIONS_PER_USER = 2
EVERYBODY = ""


@dataclass(frozen=True)
class Quota:
    """0 is unlimited, None leaves it to the next wider rule."""

    requests_per_minute: int | None = None
    generations_per_user: int | None = None
    tokens_per_day: int | None = None

    def with_defaults(self, defaults: Quota) -> Quota:
        """This quota, and `defaults` where it is None."""
        return Quota(**{name: asdict(defaults)[name] if own is None else own for name, own in asdict(self).items()})


class Quotas:
    """What an administrator has set for a user comes first, then what is set for everybody with an account, then the
    settings, then the defaults of the program.

    On an open program (loopback without accounts) the defaults are unlimited: there is one user, who owns the machine.
    """

    def __init__(self, settings: Settings, database: AccessDatabase) -> None:
        self._configured = Quota(settings.requests_per_minute, settings.generations_per_user, settings.tokens_per_day)
        # One less than the engine runs at a time, so that nobody keeps all others waiting.
        generations = max(1, min(GENERATIONS_PER_USER, settings.parallel - 1))
        self.default = self._configured.with_defaults(Quota(REQUESTS_PER_MINUTE, generations, 0))
        self._database = database
        self._running: Counter[str] = Counter()
        self._usage = UsageCounter(database)

    def open(self) -> None:
        """Count tokens from now on."""
        self._usage.open()

    async def close(self) -> None:
        """Return when all counted tokens are stored."""
        await self._usage.close()

    async def of(self, visitor: Visitor) -> Quota:
        """What applies to this visitor; no field of it is None."""
        default = self._configured.with_defaults(Quota(0, 0, 0)) if visitor.auth_method == "open" else self.default
        if visitor.user is None:
            return default
        stored = await self.stored()
        own = stored.get(visitor.user.id, Quota())
        return own.with_defaults(stored.get(EVERYBODY, Quota())).with_defaults(default)

    async def claim(self, visitor: Visitor) -> Claim:
        """For the replies of a message or request. Raises AccessError (429) when the tokens of the day are used up."""
        quota = await self.of(visitor)
        used, seconds = await self.used_today(visitor) if quota.tokens_per_day else (0, 0)
        if quota.tokens_per_day and used >= quota.tokens_per_day:
            message = Text(
                "The {n} tokens of a day are used up. Try again in {time}.",
                n=quota.tokens_per_day,
                time=_in_words(seconds),
            )
            raise AccessError(429, "tokens_used_up", message, {"Retry-After": str(seconds)})
        return Claim(self._running, visitor.usage_key, quota.generations_per_user or 0)

    def running(self, visitor: Visitor) -> int:
        """How many replies are written for this visitor at this moment."""
        return self._running[visitor.usage_key]

    async def used_today(self, visitor: Visitor) -> tuple[int, int]:
        """The tokens used in the visitor's day, which began with its first reply, and the seconds left of it."""
        return await self._usage.used_today(visitor.usage_key)

    def record_usage(self, visitor: Visitor | None, n_tokens: int) -> None:
        """Count tokens. May be called from any thread."""
        # Users without a quota are counted too, because one may be set during the day. Nobody can set one for others.
        if visitor is None or n_tokens <= 0 or (visitor.user is None and not self._configured.tokens_per_day):
            return
        self._usage.add(visitor.usage_key, n_tokens)

    async def stored(self) -> dict[str, Quota]:
        """What administrators have set, by user id, or EVERYBODY."""
        return dict(await self._database.cached("quotas", self._load))

    async def store(self, quota: Quota, user_id: str = EVERYBODY) -> None:
        """Set the quota of one user, or of everybody."""
        async with self._database.begin(clear_cache=True) as session:
            await session.merge(QuotaRow(user_id=user_id, **asdict(quota)))

    async def _load(self) -> dict[str, Quota]:
        async with self._database.begin() as session:
            rows = await session.scalars(select(QuotaRow))
            return {row.user_id: Quota(**{name: getattr(row, name) for name in asdict(Quota())}) for row in rows}


class Claim:
    """The running replies of one message or request. Its owner has to `release` it."""

    def __init__(self, running: Counter[str], usage_key: str, limit: int) -> None:
        self._running = running
        self._usage_key = usage_key
        self._limit = limit
        self._taken = 0

    def take(self, number: int = 1) -> None:
        """Count so many more replies.

        Raises AccessError: 429 when the user would have more than allowed now, 400 when waiting would not help.
        """
        allowed = counted("{n} reply", "{n} replies", self._limit)
        if self._limit and self._taken + number > self._limit:
            message = Text(
                "One request may ask for at most {allowed}, and this one asks for {wanted}.",
                allowed=allowed,
                wanted=self._taken + number,
            )
            raise AccessError(400, "too_many_choices", message)
        if self._limit and self._running[self._usage_key] + number > self._limit:
            message = Text(
                "Each person may have {allowed} written at a time. Wait until one is finished.", allowed=allowed
            )
            raise AccessError(429, "too_many_generations", message, {"Retry-After": "5"})
        self._running[self._usage_key] += number
        self._taken += number

    def take_at_least(self, number: int) -> None:
        """Count up to `number` replies in all."""
        self.take(max(0, number - self._taken))

    def release(self) -> None:
        """All replies are finished. Calling it again does nothing."""
        self._running[self._usage_key] -= self._taken
        self._taken = 0
        if self._running[self._usage_key] <= 0:
            del self._running[self._usage_key]


def _in_words(seconds: int) -> str:
    if seconds < 90:
        return Text("{n} s", n=seconds)
    return Text("{n} min", n=seconds // 60) if seconds < 5400 else Text("{n} h", n=seconds // 3600)
