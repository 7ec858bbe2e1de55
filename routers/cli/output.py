"""What commands print: JSON for programs, tables for people."""

from collections.abc import Iterable, Sequence

import rich_click as click


def print_json(value: object) -> None:
    """Print a value of built-in types as indented JSON."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings; a pipe gets whole lines, a terminal gets them wrapped."""
    import sys

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    is_terminal = sys.stdout.isatty()
    Console(file=sys.stdout, width=None if is_terminal else 1000, markup=False).print(table)
