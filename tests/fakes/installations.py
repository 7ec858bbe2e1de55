"""Packages installed by pip into a folder of their own, and `junctor` in processes that see it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from attrs import frozen

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
JUNCTOR = (sys.executable, "-m", "junctor.routers.cli")
_IGNORED = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*")


def pip(command: str, *arguments: str) -> None:
    """Run pip; nothing is fetched."""
    subprocess.run([*PIP, command, "--no-deps", "--no-index", *arguments], check=True)


def build(source: Path, folder: Path) -> Path:
    """Build a wheel of a source tree, which stays as it is; setuptools has to be installed."""
    tree = shutil.copytree(source, folder / "source", ignore=_IGNORED)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(tree))
    (wheel,) = folder.glob("*.whl")
    return wheel


@frozen
class Site:
    """A folder of installed packages, a configuration, and the command line with both."""

    folder: Path
    packages: Path
    """Lies on the path of every process."""

    @classmethod
    def at(cls, folder: Path, config: str) -> "Site":
        """Make one whose data lies in `folder` and whose server takes a free port."""
        site = cls(folder, folder / "packages")
        site.packages.mkdir()
        server = f'[server]\nport = 0\n[storage]\ndata_dir = "{folder}/data"\n'
        (folder / "junctor.toml").write_text(f"{config}\n{server}", "utf-8")
        return site

    def install(self, wheel: Path) -> None:
        """Install a wheel and nothing that it depends on."""
        pip("install", "--no-compile", "--target", str(self.packages), str(wheel))

    def add(self, name: str, source: str) -> None:
        """Install a plugin of one module by hand."""
        info = self.packages / f"{name}-1.0.dist-info"
        info.mkdir()
        (self.packages / f"{name}.py").write_text(source, "utf-8")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8"
        )
        (info / "entry_points.txt").write_text(f"[junctor]\n{name} = {name}\n", "utf-8")

    def run(self, *arguments: str) -> str:
        """Run `junctor` to its end and return what it prints."""
        done = subprocess.run(
            [*JUNCTOR, *arguments], env=self.environ(), check=True, stdout=subprocess.PIPE
        )
        return done.stdout.decode().strip()

    def run_json(self, *arguments: str) -> dict[str, object]:
        """Run `junctor … --json` and return what it says."""
        return cast("dict[str, object]", json.loads(self.run(*arguments, "--json")))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Run `junctor serve`, yield its URL, and end it as an operator would."""
        with (
            (self.folder / "server.log").open("wb") as log,
            subprocess.Popen(
                [*JUNCTOR, "serve"], env=self.environ(), stdout=subprocess.PIPE, stderr=log
            ) as server,
        ):
            try:
                assert server.stdout is not None
                yield server.stdout.readline().decode().split()[-1]
            finally:
                server.terminate()

    def environ(self) -> dict[str, str]:
        """Return the environment in which Python finds the packages, and junctor its file."""
        config = str(self.folder / "junctor.toml")
        return {**os.environ, "PYTHONPATH": str(self.packages), "JUNCTOR_CONFIG": config}
