"""What somebody may paste or type to say which model they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
REPOSITORY = re.compile(rf"(?P<repo>{NAME}/{NAME})(?::(?P<quantisation>[A-Za-z0-9_.-]+))?")
HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}


@dataclass(frozen=True)
class Source:
    """A repository of the hub, perhaps one of its files or a quantisation; or with `url` a file anywhere."""

    repo: str = ""
    filename: str = ""
    quantisation: str = ""
    url: str = ""

    @property
    def url_filename(self) -> str:
        """The name under which a file from anywhere is kept."""
        name = PurePosixPath(unquote(urlsplit(self.url).path)).name
        plain = re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "model"
        return plain if plain.lower().endswith(".gguf") else f"{plain}.gguf"


def parse_source(text: str, endpoint: str) -> Source | None:
    """`owner/name`, `owner/name:Q4_K_M`, a link to the hub or one of its files, any other address; None for words."""
    text = text.strip()
    plain = text.removeprefix("hf.co/").removeprefix("huggingface.co/")
    if match := REPOSITORY.fullmatch(plain):
        return Source(match["repo"], quantisation=match["quantisation"] or "")
    address = urlsplit(text)
    if address.scheme not in ("http", "https") or not address.hostname:
        return None
    if address.hostname in HUB_HOSTS or address.netloc == urlsplit(endpoint).netloc:
        return _on_hub(address.path)
    return Source(url=text)


def _on_hub(path: str) -> Source | None:
    owner, _, rest = unquote(path).strip("/").partition("/")
    name, _, rest = rest.partition("/")
    if not re.fullmatch(NAME, owner) or not re.fullmatch(NAME, name):
        return None
    place, _, rest = rest.partition("/")
    _, _, filename = rest.partition("/")
    is_file = place in ("blob", "resolve", "raw") and filename.lower().endswith(".gguf")
    return Source(f"{owner}/{name}", filename if is_file else "")
