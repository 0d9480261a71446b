"""What stands below a message: how it ended, what can be done with it, and its receipt.

All of it is plain HTML with `data-action`: a long conversation has hundreds of these buttons, and as components they
would cost more than its texts. `localchat.act` in the browser tells the server which one was pressed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from html import escape

from localchat_ui.conversation import GenerationStats, Message, MessageState, Role, Version
from localchat_ui.i18n import _, number, translated
from localchat_ui.text import N_
from localchat_ui.ui.words import speed, tokens

# What the menu of a message offers; `message_log.js` draws it.
MENU = {
    "copy-text": N_("Copy as plain text"),
    "speak": N_("Read aloud"),
    "fork": N_("Fork from here"),
    "about": N_("About this reply"),
    "delete": N_("Delete"),
}


@dataclass(frozen=True)
class FooterOptions:
    """What one log offers below its messages: buttons and items of the menu by their actions, and the id of its menu.

    `with_figures` tells how many tokens a reply has, and how long the first one took, in place of who wrote it.
    """

    actions: Collection[str] = ("edit", "regenerate", *MENU)
    menu_id: str = "message-menu"
    with_figures: bool = False


CHAT = FooterOptions()


def render(
    message: Message,
    version: Version | None,
    is_last: bool,
    is_writing: bool,
    *,
    with_receipt: bool = False,
    options: FooterOptions = CHAT,
) -> str:
    """No actions while the message is being written; some only for the last one of the branch."""
    if is_writing:
        return _unsaved(message)
    below = f'<div class="below">{_actions(message, version, options)}{_byline(message, options)}</div>'
    parts = [_unsaved(message), _outcome(message, is_last=is_last), below]
    if with_receipt and message.stats is not None:
        parts.append(_receipt(message, message.stats))
    return "".join(parts)


def _unsaved(message: Message) -> str:
    """That it is only in memory so far, and why."""
    if not message.unsaved:
        return ""
    text = _("Not saved yet: {reason}. The reply stays in memory until it can be saved.").format(
        reason=translated(message.unsaved)
    )
    return f'<div class="outcome unsaved" role="status"><div>{escape(text)}</div></div>'


def _outcome(message: Message, *, is_last: bool) -> str:
    """How it ended, if not well, and what to do about it."""
    if message.role is Role.USER and message.state is not MessageState.QUEUED:
        return _line(_("There is no reply."), _button("regenerate", _("Regenerate"))) if is_last else ""
    return _ending(message, is_last=is_last)


def _ending(message: Message, *, is_last: bool) -> str:
    if message.error:
        return _line(translated(message.error), _button("retry", _("Retry")) if is_last else "", alert=True)
    if message.state is MessageState.QUEUED:
        # Shown when no reply is being written: it waits for nothing then, as after a restart.
        send = _button("retry", _("Send now")) if is_last else ""
        return _line(_("Waits for the reply above."), send + _button("take-back", _("Take back"), changes=False))
    begun = bool(message.text or message.thinking)
    go_on = _button("continue", _("Continue")) if is_last and begun else ""
    if message.state is MessageState.STOPPED:
        return _line(_("Stopped."), go_on)
    if message.state is MessageState.INTERRUPTED:
        again = _button("retry", _("Try again")) if is_last else ""
        return _line(_("Interrupted: the program ended while this was written."), go_on + again)
    if message.stats is not None and message.stats.finish_reason == "length":
        limit = tokens(message.stats.reply_tokens)
        return _line(_("Ended at the limit of {tokens}.").format(tokens=limit), go_on)
    return ""


def _actions(message: Message, version: Version | None, options: FooterOptions) -> str:
    """What people do all the time has a button, the rest stands in a menu in words."""
    buttons = _versions(version) if version is not None and version.count > 1 else ""
    if message.text:
        buttons += _icon("copy", _("Copy"))
    if message.state is not MessageState.QUEUED:
        if "edit" in options.actions:
            buttons += _icon("edit", _("Edit"), changes=True)
        if message.role is Role.ASSISTANT and "regenerate" in options.actions:
            buttons += _icon("regenerate", _("Regenerate"), changes=True)
        buttons += _more(message, options)
    return f'<div class="actions">{buttons}</div>'


def _more(message: Message, options: FooterOptions) -> str:
    """Opens the one menu of the log, and says what it has to offer here."""
    is_reply = message.role is Role.ASSISTANT and bool(message.text)
    offers = [*(("copy-text", "speak") if is_reply else ()), "fork", *(("about",) if message.stats else ()), "delete"]
    offers = [action for action in offers if action in options.actions]
    if not offers:
        return ""
    return (
        f'<button type="button" class="act more" popovertarget="{options.menu_id}" data-offers="{" ".join(offers)}"'
        f' aria-haspopup="menu" aria-label="{escape(_("More actions"))}" title="{escape(_("More actions"))}"></button>'
    )


def _byline(message: Message, options: FooterOptions) -> str:
    """Who wrote it, when, and how fast. The browser says the time as its people do."""
    moment = message.created_at.isoformat(timespec="seconds")
    parts = [f'<time datetime="{moment}"></time>']
    if message.role is Role.ASSISTANT:
        if message.model and not options.with_figures:
            parts.insert(0, f"<span>{escape(message.model)}</span>")
        if message.stats and message.stats.tokens_per_second:
            parts.append(f"<span>{escape(speed(message.stats.tokens_per_second))}</span>")
        if message.stats and options.with_figures:
            figures = (tokens(message.stats.reply_tokens), _first_token(message.stats))
            parts += [f"<span>{escape(figure)}</span>" for figure in figures if figure]
    return f'<div class="byline">{"".join(parts)}</div>'


def _first_token(stats: GenerationStats) -> str:
    seconds = stats.seconds_to_first_token
    return _("first after {seconds} s").format(seconds=number(seconds, 2)) if seconds else ""


def _versions(version: Version) -> str:
    return (
        '<span class="versions">'
        + _icon("previous", _("Previous version"), target=version.previous_id, disabled=version.previous_id is None)
        + f"<span>{version.number} / {version.count}</span>"
        + _icon("next", _("Next version"), target=version.next_id, disabled=version.next_id is None)
        + "</span>"
    )


def _receipt(message: Message, stats: GenerationStats) -> str:
    rows = [
        (_("Model"), message.model or ""),
        # NOTE: how many tokens the model read
        (_("Prompt"), tokens(stats.prompt_tokens)),
        # NOTE: so many tokens of the prompt were known from before
        (_("Of these reused"), tokens(stats.reused_tokens) if stats.reused_tokens else ""),
        (_("Reply"), tokens(stats.reply_tokens)),
        (_("First token"), _("after {n} s").format(n=number(stats.seconds_to_first_token, 2))),
        (_("Speed"), speed(stats.tokens_per_second, 1)),
        (_("Thinking"), _thinking(stats)),
        (_("Context used"), tokens(stats.context_tokens)),
        (_("Seed"), "" if stats.seed is None else str(stats.seed)),
    ]
    if stats.sampling is not None:
        values = stats.sampling.model_dump(exclude={"seed", "max_tokens", "thinking_budget"})
        rows += [(_(name.replace("_", " ").capitalize()), number(value)) for name, value in values.items()]
        rows.append((_("Max tokens"), number(stats.sampling.max_tokens)))
        if stats.sampling.thinking_budget is not None:
            rows.append((_("Thinking budget"), tokens(stats.sampling.thinking_budget)))
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows if value)
    switch = _button("tokens", _("Token probabilities"), changes=False) if message.text else ""
    receipt = f'<dl class="receipt" aria-label="{escape(_("About this reply"))}">{shown}</dl>'
    return f'{receipt}{_notes(stats)}<div class="receipt-actions">{switch}</div>'


def _thinking(stats: GenerationStats) -> str:
    seconds = _("{n} s").format(n=number(stats.thinking_seconds, 1)) if stats.thinking_seconds else ""
    return ", ".join(filter(None, (seconds, tokens(stats.thinking_tokens) if stats.thinking_tokens else "")))


def _notes(stats: GenerationStats) -> str:
    """What the model did not read as it stands here."""
    notes = "".join(f"<li>{escape(translated(note))}</li>" for note in stats.notes)
    name = escape(_("What the model read differently"))
    return f'<ul class="notes" aria-label="{name}">{notes}</ul>' if notes else ""


def _line(text: str, buttons: str, *, alert: bool = False) -> str:
    kind = ' failed" role="alert' if alert else ""
    return f'<div class="outcome{kind}"><div>{escape(text)}</div>{buttons}</div>'


def _button(action: str, label: str, *, changes: bool = True) -> str:
    kind = "text-button changes" if changes else "text-button"
    return f'<button type="button" class="{kind}" data-action="{action}">{escape(label)}</button>'


def _icon(action: str, name: str, *, target: str | None = None, changes: bool = False, disabled: bool = False) -> str:
    extra = f' data-target="{escape(target)}"' if target else ""
    kind = "act changes" if changes or action in ("previous", "next") else "act"
    off, name = " disabled" if disabled else "", escape(name)
    return (
        f'<button type="button" class="{kind}" data-action="{action}"{extra} aria-label="{name}" title="{name}"{off}>'
        "</button>"
    )
