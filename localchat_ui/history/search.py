"""Search over titles, messages and attached files: with an index on SQLite, with ILIKE elsewhere.

Both answer in the same order and shape; only that ILIKE also finds words inside of words, and minds diacritics.

SQLite's FTS5 finds words, which it splits at spaces and punctuation. That suits most scripts, but in those written
without spaces a whole sentence is one "word"; so texts with such a script are marked in the index, and read through.
So is everything when symbols are asked for, which the index leaves out: "C++", "#5", emoji.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    SQLColumnExpression,
    String,
    and_,
    case,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncSession

from localchat_ui.conversation import Conversation, MessageState
from localchat_ui.history import rows
from localchat_ui.history.highlight import Part, Term, highlighted, snippet, terms_of
from localchat_ui.history.tables import ConversationRow, MessageRow, is_no_column


@dataclass(frozen=True)
class SearchHit:
    """A conversation that was found. `title` and `snippet` are parts of text, and whether each is a match.

    `message_id` is the newest message that matches, and `snippet` the text around its first match; without such a
    message they are None and empty. The message may be on a branch that is not shown: select_version shows it.
    """

    conversation: Conversation
    title: list[Part]
    message_id: str | None
    snippet: list[Part]


async def find(session: AsyncSession, query: str, limit: int, offset: int) -> list[SearchHit]:
    terms = terms_of(query)
    if not terms:
        return []
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    said = _said(is_sqlite=is_sqlite)
    found = (_by_index if is_sqlite else _by_reading)(terms, said).subquery()
    statement = (
        select(ConversationRow, found.c.message_id)
        .join(found, found.c.conversation_id == ConversationRow.id)
        .where(ConversationRow.deleted_at.is_(None), is_no_column())
        .order_by(found.c.in_title.desc(), ConversationRow.updated_at.desc(), ConversationRow.id)
        .limit(limit)
        .offset(offset)
    )
    page = (await session.execute(statement)).all()
    # The texts are read when it is known whose: sorting them along with all that was found takes long.
    wanted = [message_id for _, message_id in page if message_id]
    texts = select(MessageRow.id, said).where(MessageRow.id.in_(wanted))
    text_of = dict((await session.execute(texts)).all()) if wanted else {}
    return [
        SearchHit(
            rows.conversation_of(row),
            highlighted(row.title, terms),
            message_id,
            snippet(text_of[message_id], terms) if message_id else [],
        )
        for row, message_id in page
    ]


_entries = table(
    "search_entries",
    column("id", Integer),
    column("conversation_id", String),
    column("message_id", String),
    column("unspaced", Boolean),
)


def _by_index(terms: list[Term], said: SQLColumnExpression[str]) -> Select[Any]:
    """The conversations in question: conversation_id, in_title (0 or 1), and message_id or None."""
    newest = func.max(_entries.c.id).filter(_entries.c.message_id.is_not(None))
    found = (
        select(
            _entries.c.conversation_id,
            func.max(_entries.c.message_id.is_(None)).label("in_title"),
            newest.label("newest"),
        )
        .where(_matching(terms, said))
        .group_by(_entries.c.conversation_id)
        .subquery()
    )
    entry = _entries.alias()
    return select(found.c.conversation_id, found.c.in_title, entry.c.message_id).outerjoin(
        entry, entry.c.id == found.c.newest
    )


def _matching(terms: list[Term], said: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Entries whose words the index holds, or whose text has to be read because it cannot tell words in them."""
    words = [term for term in terms if term.is_word]
    others = [term for term in terms if not term.is_word]
    message = select(said).where(MessageRow.id == _entries.c.message_id).scalar_subquery()
    title = select(ConversationRow.title).where(ConversationRow.id == _entries.c.conversation_id).scalar_subquery()
    text = case((_entries.c.message_id.is_(None), title), else_=message)
    read = and_(_entries.c.unspaced, _contains(text, terms))
    if any(term.is_unspaced for term in others):
        return read
    if not words:
        return _contains(text, others)
    query = " ".join(f'"{term.text}"{"*" if term.is_prefix else ""}' for term in words)
    index: Select[Any] = select(literal_column("rowid")).select_from(table("search_index"))
    matched = _entries.c.id.in_(index.where(literal_column("search_index").op("MATCH")(query)))
    return or_(and_(matched, _contains(text, others)) if others else matched, read)


def _by_reading(terms: list[Term], said: SQLColumnExpression[str]) -> Select[Any]:
    """The same without an index."""
    newest = func.row_number().over(
        partition_by=MessageRow.conversation_id, order_by=(MessageRow.created_at.desc(), MessageRow.id)
    )
    found = (
        select(MessageRow.id, MessageRow.conversation_id, newest.label("place"))
        .where(_contains(said, terms), MessageRow.deleted_with.is_(None))
        .where(MessageRow.state != MessageState.WRITING.value)
        .subquery()
    )
    in_title = _contains(ConversationRow.title, terms)
    return (
        select(
            ConversationRow.id.label("conversation_id"),
            case((in_title, 1), else_=0).label("in_title"),
            found.c.id.label("message_id"),
        )
        .outerjoin(found, and_(found.c.conversation_id == ConversationRow.id, found.c.place == 1))
        .where(or_(in_title, found.c.id.is_not(None)))
    )


def _said(*, is_sqlite: bool) -> SQLColumnExpression[str]:
    """The words of a message, then each file's name and text, as the index has them."""
    files = func.json_each(MessageRow.attachments) if is_sqlite else func.json_array_elements(MessageRow.attachments)
    file = files.table_valued("value")
    line_feed = literal("\n", String)

    def field(name: str) -> ColumnElement[str]:
        if is_sqlite:
            return func.json_extract(file.c.value, f"$.{name}")
        return file.c.value.op("->>", return_type=String)(name)

    each = line_feed + field("name") + line_feed + field("text")
    join = func.group_concat if is_sqlite else func.string_agg
    return MessageRow.text + func.coalesce(select(join(each, "")).scalar_subquery(), "")


def _contains(text: SQLColumnExpression[str], terms: list[Term]) -> ColumnElement[bool]:
    return and_(*(text.ilike(f"%{_escaped(term.text)}%", escape="\\") for term in terms))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
