"""`junctor tokens`: JSON Web Tokens signed with the secret of the settings."""

import re
import time
from pathlib import Path

import rich_click as click

from junctor.routers.cli.group import complain
from junctor.routers.cli.options import config_option, json_option, load_settings
from junctor.routers.cli.output import print_json

_TTL = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> int:
    found = _TTL.fullmatch(value)
    if found is None:
        raise click.BadParameter(
            f"{value!r} is not a time such as 30s, 15m, 1h or 7d.", ctx=ctx, param=param
        )
    return int(found[1]) * _UNITS[found[2]]


@click.group
def tokens() -> None:
    """Issue tokens (JWT)."""


@tokens.command
@click.option("--team", required=True, help="The team that the token speaks for.")
@click.option(
    "--ttl", callback=_seconds, default="1h", show_default=True, help="30s, 15m, 1h, 7d: how long."
)
@json_option
@config_option
def issue(team: str, ttl: int, path: Path | None, *, as_json: bool) -> None:
    """
    Print a new token, alone on standard output; it is stored nowhere and cannot be revoked.

    It is signed with `tokens.secret`, and good for `tokens.max_ttl` at most.
    """
    from junctor.core.tokens import issue as issued

    section, now = load_settings(path).tokens, time.time()
    seconds = min(ttl, section.max_ttl)
    token = issued(section, team=team, ttl=seconds, now=now)
    if seconds < ttl:
        complain(f"the token is good for {seconds:g} seconds, the longest (tokens.max_ttl)")
    if as_json:
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(now + seconds)))
        print_json({"token": token, "team": team, "expires_at": end})
    else:
        click.echo(token)
