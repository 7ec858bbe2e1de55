"""Plugins that exist for one test, brought in through the real loader."""

import sys
from collections.abc import Iterable
from importlib.metadata import Distribution
from os import PathLike
from pathlib import Path
from types import ModuleType

from junctor.conf.settings import Settings
from junctor.core.hooks import hookimpl
from junctor.core.plugins import Plugins
from junctor.core.providers import Provider


class _Distribution(Distribution):
    """An installed package that announces one plugin."""

    def __init__(self, name: str, module: str) -> None:
        self._files = {
            "METADATA": f"Metadata-Version: 2.1\nName: junctor-{name}\nVersion: 1.0\n",
            "entry_points.txt": f"[junctor]\n{name} = {module}:plugin\n",
        }

    def read_text(self, filename: str | PathLike[str]) -> str | None:
        return self._files.get(str(filename))

    def locate_file(self, path: str | PathLike[str]) -> Path:
        raise FileNotFoundError(path)


class Offering:
    """A plugin that offers these providers."""

    def __init__(self, *providers: Provider) -> None:
        self.offered = list(providers)

    @hookimpl
    def junctor_providers(self, settings: Settings) -> Iterable[Provider]:
        return list(self.offered)


def plugins(settings: Settings, /, **by_name: object) -> Plugins:
    """Load these plugins, and no installed ones, as a server would."""
    installed = []
    for name, plugin in by_name.items():
        module = ModuleType(f"_plugin_of_a_test_{name}")
        module.__dict__["plugin"] = plugin
        sys.modules[module.__name__] = module
        installed.append(_Distribution(name, module.__name__))
    return Plugins.load(settings.loader, installed=installed)
