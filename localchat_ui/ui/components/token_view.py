"""A reply as its tokens, each tinted by how likely it was, and what could have stood in the place of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from localchat_ui.chat import ScoredToken
from localchat_ui.i18n import _

# Tints, from a token that was nearly certain, which has none, to one that few would have guessed.
STEPS = (0.9, 0.6, 0.3, 0.1, 0.02)


def render_waiting() -> str:
    return f'<p class="token-legend" role="status">{escape(_("Reading the reply again…"))}</p>'


def render_tokens(tokens: Sequence[ScoredToken]) -> str:
    shown = "".join(
        f'<button type="button" class="token p{_step(token.probability)}" data-action="token" data-target="{number}"'
        f' tabindex="{-1 if number else 0}" title="{_percent(token.probability)}">{_visible(token.text)}</button>'
        + "<br>"
        * token.text.count("\n")
        for number, token in enumerate(tokens)
    )
    invitation = _("Choose a token to see what could have stood there.")
    legend = "".join(f'<span class="token p{step}">{_legend(step)}</span>' for step in range(len(STEPS) + 1))
    return (
        f'<p class="token-legend" aria-hidden="true">{legend}</p>'
        f'<div class="token-text" dir="auto" role="group" aria-label="{escape(_("Tokens"))}">{shown}</div>'
        f'<div class="alternatives" role="status"><p>{escape(invitation)}</p></div>'
    )


def render_alternatives(tokens: Sequence[ScoredToken], number: int) -> str:
    """What could have stood at this place; a click goes on from there."""
    token = tokens[number]
    buttons = "".join(
        f'<button type="button" class="text-button" data-action="branch" data-target="{number}:{place}"'
        f"{'' if each.opening is not None and each.text != token.text else ' disabled'}>"
        f"<span>{_visible(each.text.strip(' ') or each.text) or escape(_('(end)'))}</span>"
        f" {_percent(each.probability)}</button>"
        for place, each in enumerate(token.alternatives)
    )
    text = escape(_("{token} had {percent}. Choose another to go on from there."))
    shown = f"<strong>{_visible(token.text.strip(' ') or token.text)}</strong>"
    return f"<p>{text.format(token=shown, percent=_percent(token.probability))}</p><div>{buttons}</div>"


def _step(probability: float) -> int:
    return next((step for step, least in enumerate(STEPS) if probability >= least), len(STEPS))


def _legend(step: int) -> str:
    # NOTE: less than the percentages before it
    return f"{STEPS[step] * 100:g} %+" if step < len(STEPS) else escape(_("less"))


def _percent(probability: float) -> str:
    percent = 100 * probability
    return f"{percent:.0f} %" if percent >= 1 else f"{percent:.2f} %"


def _visible(text: str) -> str:
    """Line feeds and lone spaces as signs: every token is something to press."""
    shown = text.replace("\n", "↵")
    return escape(shown if shown.strip() else shown.replace(" ", "␣").replace("\t", "⇥"))
