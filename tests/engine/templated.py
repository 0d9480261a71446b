"""A real model with another family's chat template, which lies beside it."""

# ruff: noqa: E501
from __future__ import annotations

import shutil
from pathlib import Path

# As Qwen 3 does it: thinking is opened by the prompt, or closed there at once.
THINKER = """{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and m.reasoning_content and loop.last %}<think>
{{ m.reasoning_content }}
</think>

{% endif %}{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
<think>
{% if enable_thinking is defined and enable_thinking is false %}
</think>

{% endif %}"""

# As Gemma does it.
USER_FIRST = """{%- for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
"""

# As gpt-oss does it, without its channels.
EFFORT = """{%- for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
{# Reasoning: #}<think>{{ reasoning_effort or 'medium' }}
"""


def templated(model: Path, folder: Path, template: str, name: str = "templated") -> Path:
    """The model under another name, with this template in place of its own."""
    path = folder / f"{name}.gguf"
    # No link: a file that is there twice is found once.
    shutil.copyfile(model, path)
    path.with_suffix(".jinja").write_text(template, encoding="utf-8")
    return path
