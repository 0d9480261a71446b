"""Where a model is and what it costs to use it next, in words."""

from __future__ import annotations

from localchat_ui.i18n import _, ngettext
from localchat_ui.inference import Cost, ModelRef, ModelRegistry, Place
from localchat_ui.ui.words import data_size

# Below that nobody waits.
AT_ONCE = 0.75


def place_of(models: ModelRegistry, model: ModelRef) -> str:
    """One line: `In use, 480 MB of memory`, `On disk · loads in about 4 s · gemma leaves memory`."""
    current = models.status.model
    if not model.is_local:
        return _("In use") if model.is_same(current) else _("On {server}").format(server=model.engine)
    size = models.placement.memory_of(model)
    if model.is_same(current):
        if model.path not in (known.path for known in models.models):
            return _("In use, but its file is gone")
        if not size:
            return _("In use, loads with the next message")
        return _("In use, {size} of memory").format(size=data_size(size))
    cost = models.placement.cost(model)
    if cost.place is Place.MEMORY:
        return _("In memory, {size}").format(size=data_size(size)) if size else _("In memory")
    where = _("Cached") if cost.place is Place.CACHED else _("On disk")
    return " · ".join(part for part in (where, _seconds(cost), _leaving(models, cost)) if part)


def _seconds(cost: Cost) -> str:
    if cost.seconds is None:
        return ""
    if cost.seconds < AT_ONCE:
        return _("loads at once")
    return _("loads in about {seconds} s").format(seconds=max(1, round(cost.seconds)))


def _leaving(models: ModelRegistry, cost: Cost) -> str:
    if not cost.leaving:
        return ""
    names = [model.name for model in models.models if model.path in cost.leaving]
    return ngettext("{names} leaves memory", "{names} leave memory", len(names)).format(names=", ".join(names))
