"""Characters of Chinese, Japanese and Korean, between which words have no spaces."""

from __future__ import annotations

# For use inside of brackets in a pattern: letters, punctuation and full-width forms.
CJK = (
    "\u1100-\u11ff\u2e80-\u303f\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff"
    "\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
