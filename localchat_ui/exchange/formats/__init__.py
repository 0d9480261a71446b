"""The formats of files. A new one is a module here with a `FORMAT`, and a place in this list."""

from localchat_ui.exchange.formats import chatgpt, localchat, markdown

FORMATS = (markdown.FORMAT, localchat.FORMAT, chatgpt.FORMAT)
EXPORTS = {each.extension: each for each in FORMATS if each.write}
