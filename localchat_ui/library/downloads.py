"""Which child fetches a file of the queue, and with what."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from localchat_ui.library.child import END_WITH_STDIN
from localchat_ui.library.download import Download
from localchat_ui.library.queue import Job, JobFile
from localchat_ui.settings import PREFIX, Settings

FETCH_WEB = (sys.executable, "-m", "localchat_ui.library.web", END_WITH_STDIN)


NewDownload = Callable[[Job, JobFile, Path], Download]


def new_downloads(settings: Settings, token: Callable[[], str]) -> NewDownload:
    """What makes a Download of a file: from the hub, or from the address that its job names."""

    def new_download(job: Job, file: JobFile, folder: Path) -> Download:
        if "://" in job.source:
            allowed = {f"{PREFIX}ALLOW_PRIVATE_DOWNLOADS": str(settings.allow_private_downloads)}
            return Download(job.source, file.name, folder, command=FETCH_WEB, environment=allowed)
        secret = token()
        return Download(job.source, file.name, folder, environment={"HF_TOKEN": secret} if secret else None)

    return new_download
