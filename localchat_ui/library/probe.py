"""`python -m localchat_ui.library.probe FILE…` reads the metadata of GGUF files where a crash does no harm.

Writes an empty line when it is ready, then one line of JSON per file. `--load FILE` loads a file whole and computes a
token, and writes shares of 1 before its line.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from localchat_ui.engine.base import ModelLoadError
from localchat_ui.engine.context import try_model
from localchat_ui.engine.llama import read_metadata
from localchat_ui.library.child import speaking
from localchat_ui.library.metadata import Metadata
from localchat_ui.library.model_file import displayable

LONGEST_NAME = 100


def main(arguments: Sequence[str]) -> None:
    with speaking(arguments) as (say, files):
        if files[:1] == ["--load"]:
            say(_as_json(_load(Path(files[1]), lambda share: say(str(share)))))
            return
        for file in files:
            say(_as_json(_describe(Path(file))))


def _as_json(metadata: Metadata) -> str:
    return json.dumps(dataclasses.asdict(metadata))


def _load(path: Path, on_share: Callable[[float], None]) -> Metadata:
    try:
        try_model(path, on_share)
    except ModelLoadError as error:
        return Metadata(error=displayable(str(error)))
    return Metadata(loads=True)


def _describe(path: Path) -> Metadata:
    try:
        said = read_metadata(path)
    except ModelLoadError as error:
        return Metadata(error=displayable(str(error)))
    except Exception as error:
        return Metadata(error=displayable(f"{path.name} could not be read: {error}"))
    return Metadata(
        name=" ".join(said.name.split())[:LONGEST_NAME],
        parameters=said.parameters,
        quantisation=said.quantisation,
        context_length=said.context_length,
        has_chat_template=said.has_chat_template,
        context_bytes=said.n_bytes_per_token,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
