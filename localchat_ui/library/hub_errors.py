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

TRANSIENT = (408, 429, 500, 502, 503, 504)


def explain_hub_error(error: Exception, endpoint: str, repo_id: str = "", filename: str = "") -> DownloadError:
    """ConnectionLostError where waiting may help."""
    host, page = host_of(endpoint), f"{endpoint}/{repo_id}"
    token_help = f"set HF_TOKEN to a token from {endpoint}/settings/tokens, or paste one at Models, and start again"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        text = f"{repo_id} wants its terms accepted first. Accept them at {page}, {token_help}."
    elif isinstance(error, EntryNotFoundError):
        text = f"{repo_id} has no file {filename}. See {page}/tree/main for its files."
    elif repo_id and (isinstance(error, RepositoryNotFoundError) or status == 404):
        text = f"{host} shows no repository {repo_id}. Check its name; if it is private, {token_help}."
    elif status in (401, 403):
        text = f"{host} refuses access to {repo_id or 'its search'}. If it is yours to read, {token_help}."
    elif status in TRANSIENT:
        return ConnectionLostError(f"{host} is busy or broken (HTTP {status}). Try again in a few minutes.")
    elif status is not None:
        text = f"{host} is broken (HTTP {status}). Try again in a few minutes."
    elif isinstance(error, HFValidationError):
        text = f"“{repo_id}” is not the name of a repository. It looks like owner/name."
    elif isinstance(error, OfflineModeIsEnabled):
        text = "HF_HUB_OFFLINE forbids downloads. Unset it and start again."
    else:
        return ConnectionLostError(no_connection(endpoint, str(error) or type(error).__name__))
    return DownloadError(text)


def no_connection(endpoint: str, reason: str) -> str:
    return f"No connection to {host_of(endpoint)} ({reason}). Check the network and start again."


def host_of(endpoint: str) -> str:
    return urlsplit(endpoint).netloc
