"""The models: what is here, what is on its way, and where more are."""

from __future__ import annotations

from nicegui import ui

from localchat_ui.i18n import _
from localchat_ui.inference import ModelLibrary, ModelRegistry
from localchat_ui.ui import icons
from localchat_ui.ui.components.download_list import DownloadList
from localchat_ui.ui.components.hub_search import HubSearch
from localchat_ui.ui.components.hub_token import HubTokenForm
from localchat_ui.ui.components.installed_models import InstalledModels
from localchat_ui.ui.page_layout import link, page_layout


def register(models: ModelRegistry, library: ModelLibrary) -> None:
    """The route /models. Whoever may come in sees what is here; the rest is for those who may manage."""

    @ui.page("/models")
    async def models_page() -> None:
        await models.refresh()
        library.measure_soon()
        with page_layout("Models"):
            DownloadList(library)
            InstalledModels(models, library)
            if library.may_manage:
                HubSearch(library)
                HubTokenForm(library)
                link(icons.ABOUT, _("System check"), "/system").classes("text-button")
