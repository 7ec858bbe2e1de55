"""Map the five top-level folders to the ``junctor`` namespace (``pyproject`` cannot add a prefix)."""

from setuptools import find_packages, setup

FOLDERS = ("conf", "contracts", "core", "plugins", "routers")

setup(
    packages=[
        f"junctor.{name}"
        for name in find_packages(include=[p for f in FOLDERS for p in (f, f"{f}.*")])
    ]
)
