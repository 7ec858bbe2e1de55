"""Installed distributions made in a temporary folder: real metadata, real modules, no installer."""

import itertools
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from types import ModuleType

_numbers = itertools.count()


class Shelf:
    """A folder on `sys.path` in which plugins are installed; `close` takes it off again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules: dict[str, str] = {}
        sys.path.insert(0, str(folder))

    @property
    def installed(self) -> list[Distribution]:
        """What lies on this shelf, and nothing else."""
        return list(distributions(path=[str(self.folder)]))

    def add(
        self, name: str, source: str, *, distribution: str | None = None, version: str = "1.0"
    ) -> None:
        """Install a plugin of one module, under an entry point of that name."""
        module = f"shelf_{name}_{next(_numbers)}".replace("-", "_")
        self._modules[name] = module
        (self.folder / f"{module}.py").write_text(source, "utf-8")
        self.announce(
            distribution or f"{name}-dist",
            f"[junctor]\n{name} = {module}\n",
            version=version,
        )

    def announce(self, distribution: str, entry_points: str, *, version: str = "1.0") -> None:
        """Write the metadata of a distribution."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", "utf-8"
        )
        with (info / "entry_points.txt").open("a", encoding="utf-8") as file:
            file.write(entry_points)

    def module(self, name: str) -> ModuleType:
        """Return the module of a plugin that has been loaded."""
        return sys.modules[self._modules[name]]

    def close(self) -> None:
        """Forget folder and modules."""
        sys.path.remove(str(self.folder))
        for module in self._modules.values():
            sys.modules.pop(module, None)
