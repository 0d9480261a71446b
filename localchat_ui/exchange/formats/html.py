"""A document to share: one file that needs no network and no script, for the screen, dark or light, and for paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from localchat_ui.conversation import DEFAULT_SYSTEM_PROMPT, Attachment, Message, Role
from localchat_ui.exchange.formats.markdown import ending_of, name_of, speed_of
from localchat_ui.exchange.trees import Format, Tree
from localchat_ui.markdown import render_markdown, theme
from localchat_ui.markdown.directions import with_technical_apart
from localchat_ui.markdown.language import language_of

# The second lock behind the sanitised text: nothing runs, nothing is loaded, nothing is sent.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_BUTTONS = re.compile(r"<button [^>]*>[^<]*</button>")


def write(trees: Sequence[Tree]) -> str:
    title = _title_of(trees[0]) if len(trees) == 1 else "Conversations"
    contents = "\n".join(map(_conversation, trees))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>
{_stylesheet()}
</style>
</head>
<body>
<main>
{contents}
</main>
</body>
</html>
"""


def _conversation(tree: Tree) -> str:
    conversation = tree.conversation
    title = escape(_title_of(tree))
    system_prompt = conversation.options.system_prompt.strip()
    is_own = system_prompt and system_prompt != DEFAULT_SYSTEM_PROMPT
    begins = _folded("System prompt", f"<pre>{escape(system_prompt)}</pre>") if is_own else ""
    messages = "\n".join(map(_message, tree.branch))
    return (
        f'<section aria-label="{title}">\n<header><h1 dir="auto">{title}</h1>'
        f'<p class="byline">{_time(tree.conversation.created_at)}</p></header>\n{begins}{messages}\n</section>'
    )


def _message(message: Message) -> str:
    """One turn: who, the files, what was thought, the words, how it ended."""
    role = message.role.value
    name = "You" if message.role is Role.USER else name_of(message)
    language = language_of(message.text)
    said = f' lang="{language}"' if language else ""
    if message.role is Role.ASSISTANT:
        words = f'<div class="words markdown" dir="ltr"{said}>{_text(message.text)}</div>'
    else:
        text = with_technical_apart(message.text) or escape(message.text)
        words = f'<div class="words" dir="auto"{said}>{text}</div>'
    thoughts = f'<div class="markdown">{_text(message.thinking)}</div>' if message.thinking else ""
    parts = [
        f'<h2 class="name" dir="auto">{escape(name)}</h2>',
        "".join(map(_file, message.attachments)),
        _folded("Thoughts", thoughts) if thoughts else "",
        words if message.text else "",
        f'<p class="ending">{escape(ending)}</p>' if (ending := ending_of(message)) else "",
        f'<p class="byline">{" · ".join(filter(None, (_time(message.created_at), speed_of(message))))}</p>',
    ]
    return f'<article class="message {role}">\n{"".join(parts)}\n</article>'


def _text(text: str) -> str:
    """Without the buttons, which would need a script."""
    return _BUTTONS.sub("", render_markdown(text))


def _file(file: Attachment) -> str:
    size = f"{max(1, round(file.size / 1000)):,} kB"
    return _folded(file.name, f"<pre>{escape(file.text)}</pre>", note=size, kind="file")


def _folded(summary: str, html: str, *, note: str = "", kind: str = "fold") -> str:
    small = f" <small>{escape(note)}</small>" if note else ""
    return f'<details class="{kind}"><summary><bdi>{escape(summary)}</bdi>{small}</summary>{html}</details>\n'


def _time(moment: datetime) -> str:
    return f'<time datetime="{moment.isoformat(timespec="seconds")}">{moment:%Y-%m-%d %H:%M} UTC</time>'


def _title_of(tree: Tree) -> str:
    return " ".join(tree.conversation.title.split()) or "Conversation"


def _stylesheet() -> str:
    dark = [theme.variables(":root", theme.DARK), theme.code_colours(theme.DARK_CODE)]
    return "\n".join(
        [
            theme.variables(":root", theme.LIGHT | theme.SCALE),
            theme.code_colours(theme.LIGHT_CODE),
            theme.COMMENTS,
            theme.MARKDOWN,
            (Path(__file__).with_suffix(".css")).read_text(encoding="utf-8"),
            f"@media screen and (prefers-color-scheme: dark) {{ {' '.join(dark)} }}",
        ]
    )


FORMAT = Format(label="HTML", extension="html", media_type="text/html; charset=utf-8", write=write)
