"""Which of the languages a text is in that share their characters, for fonts, line breaks and screen readers."""

from __future__ import annotations

import re


def language_of(text: str) -> str:
    """`ja`, `ko`, `zh-Hans`, `zh-Hant`, or nothing: what is left to the browser's own language."""
    if text.isascii() or not _EAST_ASIAN.search(text):
        return ""
    if _KANA.search(text):
        return "ja"
    if _HANGUL.search(text):
        return "ko"
    return "zh-Hant" if len(_TRADITIONAL.findall(text)) > len(_SIMPLIFIED.findall(text)) else "zh-Hans"


_EAST_ASIAN = re.compile("[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
# Frequent characters that the two ways of writing Chinese do not share.
_SIMPLIFIED = re.compile("[这们为来说国时会个发现经过对还开长门问间见车东乐学习书写语读后里听爱电话点机关实际样]")
_TRADITIONAL = re.compile("[這們為來說國時會個發現經過對還開長門問間見車東樂學習書寫語讀後裡聽愛電話點機關實際樣]")
