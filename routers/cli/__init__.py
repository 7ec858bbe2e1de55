"""The command line `junctor`."""

from junctor.routers.cli.root import main

__all__ = ["main"]
