"""`junctor demo`: the whole way of a request in one go, on this machine alone."""

from typing import TYPE_CHECKING

import rich_click as click

from junctor.routers.cli.output import print_json, print_table

if TYPE_CHECKING:
    from junctor.routers.cli.demo import Row


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def demo(*, as_json: bool) -> None:
    """
    Start a server, speak to it, let a provider fail, and show who answered.

    Needs the extra `embedded`; downloads nothing, leaves nothing behind. Exits 1 when a step fails.
    """
    import attrs

    from junctor.routers.cli.demo import run

    rows = run()
    if as_json:
        print_json({"steps": [attrs.asdict(row) for row in rows]})
    else:
        columns = ("", "step", "provider", "attempts", "seconds", "answer")
        print_table(columns, (_told(row) for row in rows))
    if not all(row.is_good for row in rows):
        raise SystemExit(1)


def _told(row: "Row") -> tuple[str, ...]:
    longest = 60
    answer = row.answer if len(row.answer) <= longest else f"{row.answer[:longest]}…"
    mark = "ok" if row.is_good else "FAILED"
    return (mark, row.step, row.provider, row.attempts, f"{row.seconds:.2f}", answer)
