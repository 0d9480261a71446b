"""What goes wrong between here and the hub, in words that say which of name, token, terms or network it is."""

from __future__ import annotations

from urllib.parse import urlsplit

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from localchat_ui.library.errors import ConnectionLostError, DownloadError
from localchat_ui.text import Text

TRANSIENT = (408, 429, 500, 502, 503, 504)


def explain_hub_error(error: Exception, endpoint: str, repo_id: str = "", filename: str = "") -> DownloadError:
    """ConnectionLostError where waiting may help."""
    host, page = host_of(endpoint), f"{endpoint}/{repo_id}"
    token_help = Text(
        "set HF_TOKEN to a token from {address}, or paste one at Models, and start again",
        address=endpoint + "/settings/tokens",
    )
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        text = Text(
            "{repo_id} wants its terms accepted first. Accept them at {page}, {token_help}.",
            repo_id=repo_id,
            page=page,
            token_help=token_help,
        )
    elif isinstance(error, EntryNotFoundError):
        text = Text(
            "{repo_id} has no file {filename}. See {page}/tree/main for its files.",
            repo_id=repo_id,
            filename=filename,
            page=page,
        )
    elif repo_id and (isinstance(error, RepositoryNotFoundError) or status == 404):
        text = Text(
            "{host} shows no repository {repo_id}. Check its name; if it is private, {token_help}.",
            host=host,
            repo_id=repo_id,
            token_help=token_help,
        )
    elif status in (401, 403):
        text = Text(
            "{host} refuses access to {repo_id}. If it is yours to read, {token_help}.",
            host=host,
            repo_id=repo_id or Text("its search"),
            token_help=token_help,
        )
    elif status in TRANSIENT:
        return ConnectionLostError(
            Text("{host} is busy or broken (HTTP {status}). Try again in a few minutes.", host=host, status=str(status))
        )
    elif status is not None:
        text = Text("{host} is broken (HTTP {status}). Try again in a few minutes.", host=host, status=str(status))
    elif isinstance(error, HFValidationError):
        text = Text("“{repo_id}” is not the name of a repository. It looks like owner/name.", repo_id=repo_id)
    elif isinstance(error, OfflineModeIsEnabled):
        text = Text("HF_HUB_OFFLINE forbids downloads. Unset it and start again.")
    else:
        return ConnectionLostError(no_connection(endpoint, str(error) or type(error).__name__))
    return DownloadError(text)


def no_connection(endpoint: str, reason: str) -> str:
    return Text(
        "No connection to {host} ({reason}). Check the network and start again.",
        host=host_of(endpoint),
        reason=reason,
    )


def host_of(endpoint: str) -> str:
    return urlsplit(endpoint).netloc
