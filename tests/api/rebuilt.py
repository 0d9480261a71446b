"""The starter model with another template and other metadata: what it says is forced by a grammar."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import gguf
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

from tests.engine.families import FAMILIES

TEMPLATE = "tokenizer.chat_template"


def rebuild(starter: Path, path: Path, template: str = "", **values: int) -> Path:
    """A copy of it. `values` are numbers of the tokenizer: `tokenizer.ggml.` stands before each name."""
    logging.disable(logging.INFO)
    reader = gguf.GGUFReader(starter)
    text, number = gguf.GGUFValueType.STRING, gguf.GGUFValueType.UINT32
    new: Mapping[str, MetadataDetails] = {
        **({TEMPLATE: MetadataDetails(text, template)} if template else {}),
        **{f"tokenizer.ggml.{name}": MetadataDetails(number, value) for name, value in values.items()},
    }
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, arch=architecture)
    copy_with_new_metadata(reader, writer, dict(new), [])
    logging.disable(logging.NOTSET)
    return path


def template_of(family: str) -> str:
    return next(each.template for each in FAMILIES if each.name == family)
