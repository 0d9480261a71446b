"""Looks around on the Hugging Face hub: repositories with GGUF files, and what is in one of them.

The client library blocks and takes a moment to import, so it is imported when it is needed and asked in a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from localchat_ui.library.errors import DownloadError
from localchat_ui.library.estimate import UNKNOWN, Shape, shape_of
from localchat_ui.library.gguf_header import GgufError, parse_beginning
from localchat_ui.library.model_file import readable_count
from localchat_ui.library.offers import Offer, RemoteFile, offers_of
from localchat_ui.library.source import Source

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

T = TypeVar("T")

HUB = "https://huggingface.co"
MOST_HITS = 20
TIMEOUT = 15.0
# Metadata comes first in a file; vocabularies, of which the length is enough, come behind it.
HEADER_BYTES = 1 << 18


@dataclass(frozen=True)
class Repository:
    """What the hub tells of a repository. `gated`: its terms have to be accepted there first."""

    id: str
    downloads: int = 0
    likes: int = 0
    licence: str = ""
    gated: bool = False
    offers: tuple[Offer, ...] = ()

    @property
    def details(self) -> str:
        """One line: `1M downloads · 340 likes · licence mit · terms to accept first`."""
        parts = [
            f"{readable_count(self.downloads)} downloads",
            f"{readable_count(self.likes)} likes",
            f"licence {self.licence}" if self.licence else "",
            "terms to accept first" if self.gated else "",
        ]
        return " · ".join(filter(None, parts))


class Hub:
    """All methods raise DownloadError, with what to do about it."""

    def __init__(self, token: Callable[[], str] = str, endpoint: str = "") -> None:
        """`token` is asked each time; empty is HF_TOKEN or that of `hf auth login`."""
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
        self._token = token

    async def search(self, words: str) -> list[Repository]:
        """Repositories with GGUF files, those that most people download first."""

        def search(api: HfApi) -> list[Repository]:
            found = api.list_models(
                search=words or None,
                filter="gguf",
                sort="downloads",
                limit=MOST_HITS,
                expand=["downloads", "likes", "gated", "tags"],
            )
            return [_repository(info) for info in found]

        return await self._ask(search)

    async def repository(self, repo_id: str) -> Repository:
        """A repository with the models in it."""

        def look(api: HfApi) -> Repository:
            info = api.model_info(repo_id, files_metadata=True, timeout=TIMEOUT)
            files = [
                RemoteFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else "")
                for file in info.siblings or []
            ]
            return _repository(info, tuple(offers_of(files)))

        found = await self._ask(look, repo_id)
        if not found.offers:
            raise DownloadError(f"{repo_id} has no GGUF files. Look for a repository with GGUF in its name.")
        return found

    async def offer(self, source: Source) -> tuple[Repository, Offer]:
        """The model that was meant: the file or quantisation that was named, or the recommended one."""
        repository = await self.repository(source.repo)
        offers = repository.offers
        if source.filename:
            chosen = [offer for offer in offers if any(file.name == source.filename for file in offer.files)]
        elif source.quantisation:
            chosen = [offer for offer in offers if offer.quantisation == source.quantisation.upper()]
        else:
            chosen = [offer for offer in offers if offer.is_recommended]
        if not chosen:
            there = ", ".join(dict.fromkeys(offer.quantisation or offer.name for offer in offers))
            wanted = source.filename or source.quantisation or "recommended file"
            raise DownloadError(f"{source.repo} has no {wanted}. Choose one of these: {there}.")
        return repository, chosen[0]

    async def shape(self, repo_id: str, offer: Offer) -> tuple[Shape, int]:
        """What memory depends on, and the context it was trained for, read from the beginning of the file."""

        def read(api: HfApi) -> bytes:
            from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status  # noqa: PLC0415
            from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # noqa: PLC0415

            url = hf_hub_url(repo_id, offer.name, endpoint=self.endpoint)
            headers = build_hf_headers(token=api.token) | {"Range": f"bytes=0-{HEADER_BYTES - 1}"}
            beginning = b""
            with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
                hf_raise_for_status(response)
                for piece in response.iter_bytes():
                    beginning += piece
                    if len(beginning) >= HEADER_BYTES:
                        break
            return beginning

        try:
            header = parse_beginning(await self._ask(read, repo_id))
        except GgufError as error:
            raise DownloadError(f"{offer.name} {error}") from error
        context = header.of_architecture("context_length")
        return shape_of(header), context if isinstance(context, int) else 0

    async def shape_or_unknown(self, repo_id: str, offer: Offer) -> tuple[Shape, int]:
        """The same where nothing depends on it."""
        try:
            return await self.shape(repo_id, offer)
        except DownloadError:
            return UNKNOWN, 0

    async def _ask(self, work: Callable[[HfApi], T], repo_id: str = "") -> T:
        return await asyncio.to_thread(self._ask_here, work, repo_id)

    def _ask_here(self, work: Callable[[HfApi], T], repo_id: str) -> T:
        from huggingface_hub import HfApi  # noqa: PLC0415

        from localchat_ui.library.hub_errors import explain_hub_error  # noqa: PLC0415

        try:
            return work(HfApi(self.endpoint, token=self._token() or None))
        except Exception as error:
            raise explain_hub_error(error, self.endpoint, repo_id) from error


def _repository(info: ModelInfo, offers: tuple[Offer, ...] = ()) -> Repository:
    licence = next((tag.partition(":")[2] for tag in info.tags or [] if tag.startswith("license:")), "")
    return Repository(info.id, info.downloads or 0, info.likes or 0, licence, bool(info.gated), offers)
