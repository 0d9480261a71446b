"""The formats of files. A new one is a module here with a `FORMAT`, and a place in this list."""

from localchat_ui.exchange.formats import chatgpt, html, localchat, markdown

FORMATS = (markdown.FORMAT, html.FORMAT, localchat.FORMAT, chatgpt.FORMAT)
EXPORTS = {each.extension: each for each in FORMATS if each.write}
