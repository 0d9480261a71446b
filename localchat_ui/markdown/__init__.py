"""Model text to safe HTML: what Markdown models write, block by block."""

from localchat_ui.markdown.stream import MarkdownStream, render_markdown

__all__ = ["MarkdownStream", "render_markdown"]
