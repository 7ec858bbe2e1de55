"""`python -m junctor.routers.cli` is `junctor`."""

from junctor.routers.cli.root import main

main(prog_name="junctor")
