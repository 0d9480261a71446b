"""What stands below a message: how it ended, what can be done with it, and its receipt.

All of it is plain HTML with `data-action`: a long conversation has hundreds of these buttons, and as components they
would cost more than its texts. `localchat.act` in the browser tells the server which one was pressed.
"""

from __future__ import annotations

from html import escape

from localchat_ui.conversation import GenerationStats, Message, MessageState, Role, Version
from localchat_ui.ui.words import counted

# What the menu of a message offers; `message_log.js` draws it.
MENU = {
    "copy-text": "Copy as plain text",
    "speak": "Read aloud",
    "fork": "Fork from here",
    "about": "About this reply",
    "delete": "Delete",
}


def render(
    message: Message, version: Version | None, is_last: bool, is_writing: bool, *, with_receipt: bool = False
) -> str:
    """No actions while the message is being written; some only for the last one of the branch."""
    if is_writing:
        return _unsaved(message)
    below = f'<div class="below">{_actions(message, version)}{_byline(message)}</div>'
    parts = [_unsaved(message), _outcome(message, is_last=is_last), below]
    if with_receipt and message.stats is not None:
        parts.append(_receipt(message, message.stats))
    return "".join(parts)


def _unsaved(message: Message) -> str:
    """That it is only in memory so far, and why."""
    if not message.unsaved:
        return ""
    text = f"Not saved yet: {message.unsaved}. The reply stays in memory until it can be saved."
    return f'<div class="outcome unsaved" role="status"><div>{escape(text)}</div></div>'


def _outcome(message: Message, *, is_last: bool) -> str:
    """How it ended, if not well, and what to do about it."""
    if message.role is Role.USER and message.state is not MessageState.QUEUED:
        return _line("There is no reply.", _button("regenerate", "Regenerate")) if is_last else ""
    return _ending(message, is_last=is_last)


def _ending(message: Message, *, is_last: bool) -> str:
    if message.error:
        return _line(message.error, _button("retry", "Retry") if is_last else "", alert=True)
    if message.state is MessageState.QUEUED:
        # Shown when no reply is being written: it waits for nothing then, as after a restart.
        send = _button("retry", "Send now") if is_last else ""
        return _line("Waits for the reply above.", send + _button("take-back", "Take back", changes=False))
    begun = bool(message.text or message.thinking)
    go_on = _button("continue", "Continue") if is_last and begun else ""
    if message.state is MessageState.STOPPED:
        return _line("Stopped.", go_on)
    if message.state is MessageState.INTERRUPTED:
        again = _button("retry", "Try again") if is_last else ""
        return _line("Interrupted: the program ended while this was written.", go_on + again)
    if message.stats is not None and message.stats.finish_reason == "length":
        return _line(f"Ended at the limit of {counted(message.stats.reply_tokens, 'token')}.", go_on)
    return ""


def _actions(message: Message, version: Version | None) -> str:
    """What people do all the time has a button, the rest stands in a menu in words."""
    buttons = _versions(version) if version is not None and version.count > 1 else ""
    if message.text:
        buttons += _icon("copy", "Copy")
    if message.state is not MessageState.QUEUED:
        buttons += _icon("edit", "Edit", changes=True)
        if message.role is Role.ASSISTANT:
            buttons += _icon("regenerate", "Regenerate", changes=True)
        buttons += _more(message)
    return f'<div class="actions">{buttons}</div>'


def _more(message: Message) -> str:
    """Opens the one menu of the log, and says what it has to offer here."""
    is_reply = message.role is Role.ASSISTANT and bool(message.text)
    offers = [*(("copy-text", "speak") if is_reply else ()), "fork", *(("about",) if message.stats else ()), "delete"]
    return (
        f'<button type="button" class="act more" popovertarget="message-menu" data-offers="{" ".join(offers)}"'
        ' aria-haspopup="menu" aria-label="More actions" title="More actions"></button>'
    )


def _byline(message: Message) -> str:
    """Who wrote it, when, and how fast. The browser says the time as its people do."""
    moment = message.created_at.isoformat(timespec="seconds")
    parts = [f'<time datetime="{moment}"></time>']
    if message.role is Role.ASSISTANT:
        if message.model:
            parts.insert(0, f"<span>{escape(message.model)}</span>")
        if message.stats and message.stats.tokens_per_second:
            parts.append(f"<span>{message.stats.tokens_per_second:.0f} tokens/s</span>")
    return f'<div class="byline">{"".join(parts)}</div>'


def _versions(version: Version) -> str:
    return (
        '<span class="versions">'
        + _icon("previous", "Previous version", target=version.previous_id, disabled=version.previous_id is None)
        + f"<span>{version.number} / {version.count}</span>"
        + _icon("next", "Next version", target=version.next_id, disabled=version.next_id is None)
        + "</span>"
    )


def _receipt(message: Message, stats: GenerationStats) -> str:
    rows = [
        ("Model", message.model or ""),
        ("Prompt", counted(stats.prompt_tokens, "token")),
        ("Of these reused", counted(stats.reused_tokens, "token") if stats.reused_tokens else ""),
        ("Reply", counted(stats.reply_tokens, "token")),
        ("First token", f"after {stats.seconds_to_first_token:.2f} s"),
        ("Speed", f"{stats.tokens_per_second:.1f} tokens/s"),
        ("Thinking", _thinking(stats)),
        ("Context used", counted(stats.context_tokens, "token")),
        ("Seed", "" if stats.seed is None else str(stats.seed)),
    ]
    if stats.sampling is not None:
        values = stats.sampling.model_dump(exclude={"seed", "max_tokens", "thinking_budget"})
        rows += [(name.replace("_", " ").capitalize(), f"{value:g}") for name, value in values.items()]
        rows.append(("Max tokens", f"{stats.sampling.max_tokens:,}"))
        if stats.sampling.thinking_budget is not None:
            rows.append(("Thinking budget", counted(stats.sampling.thinking_budget, "token")))
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows if value)
    switch = _button("tokens", "Token probabilities", changes=False) if message.text else ""
    receipt = f'<dl class="receipt" aria-label="About this reply">{shown}</dl>'
    return f'{receipt}{_notes(stats)}<div class="receipt-actions">{switch}</div>'


def _thinking(stats: GenerationStats) -> str:
    seconds = f"{stats.thinking_seconds:.1f} s" if stats.thinking_seconds else ""
    return ", ".join(filter(None, (seconds, counted(stats.thinking_tokens, "token") if stats.thinking_tokens else "")))


def _notes(stats: GenerationStats) -> str:
    """What the model did not read as it stands here."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in stats.notes)
    return f'<ul class="notes" aria-label="What the model read differently">{notes}</ul>' if notes else ""


def _line(text: str, buttons: str, *, alert: bool = False) -> str:
    kind = ' failed" role="alert' if alert else ""
    return f'<div class="outcome{kind}"><div>{escape(text)}</div>{buttons}</div>'


def _button(action: str, label: str, *, changes: bool = True) -> str:
    kind = "text-button changes" if changes else "text-button"
    return f'<button type="button" class="{kind}" data-action="{action}">{label}</button>'


def _icon(action: str, name: str, *, target: str | None = None, changes: bool = False, disabled: bool = False) -> str:
    extra = f' data-target="{escape(target)}"' if target else ""
    kind = "act changes" if changes or action in ("previous", "next") else "act"
    off = " disabled" if disabled else ""
    return (
        f'<button type="button" class="{kind}" data-action="{action}"{extra} aria-label="{name}" title="{name}"{off}>'
        "</button>"
    )
