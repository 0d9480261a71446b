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
from localchat_ui.library.estimate import shape_of
from localchat_ui.library.gguf_header import GgufError, GgufHeader, read_header
from localchat_ui.library.kind import abilities_of, kind_of, licence_of, sampling_of
from localchat_ui.library.load_errors import in_plain_words
from localchat_ui.library.metadata import Metadata
from localchat_ui.library.model_file import displayable
from localchat_ui.library.scan import SPLIT

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
        return _failed(path, in_plain_words(str(error)))
    return Metadata(loads=True)


def _describe(path: Path) -> Metadata:
    try:
        header = read_header(path)
        _check_parts(path, header)
        kind = kind_of(header)
        name = " ".join(str(header.values.get("general.name", "")).split())[:LONGEST_NAME]
        about = Metadata(
            name,
            kind,
            architecture=header.architecture,
            licence=licence_of(header),
            abilities=abilities_of(header, kind),
            sampling=sampling_of(header),
        )
        if not kind.is_model:
            return about
        said = read_metadata(path)
    except GgufError as error:
        return _failed(path, str(error))
    except ModelLoadError as error:
        return _failed(path, in_plain_words(str(error)))
    except OSError as error:
        return _failed(path, f"could not be read: {error.strerror or error}.")
    except Exception as error:
        return _failed(path, f"could not be read: {error}")
    return dataclasses.replace(
        about,
        parameters=said.parameters,
        quantisation=said.quantisation,
        context_length=said.context_length,
        shape=shape_of(header),
    )


def _check_parts(path: Path, header: GgufHeader) -> None:
    n_parts = header.values.get("split.count") or 0
    split = SPLIT.fullmatch(path.stem)
    if not split or not isinstance(n_parts, int):
        return
    names = [f"{split['model']}-{number:05}-of-{n_parts:05}{path.suffix}" for number in range(1, n_parts + 1)]
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise GgufError(f"is the first of {n_parts} files, and these are not there: {', '.join(missing[:3])}.")


def _failed(path: Path, reason: str) -> Metadata:
    return Metadata(error=displayable(f"{path.name} {reason}"))


if __name__ == "__main__":
    main(sys.argv[1:])
