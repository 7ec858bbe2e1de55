"""`junctor route`: who would serve a request, and why the others would not."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from junctor.core.cards import Capability, Feature, Tier
from junctor.routers.cli.options import config_option, json_option, load_settings
from junctor.routers.cli.output import print_json, print_table

if TYPE_CHECKING:
    from junctor.conf.settings import Settings
    from junctor.core.plans import Plan, Wish


@click.group
def route() -> None:
    """Look at the policy."""


@route.command
@click.option("--model", help="Public name, bare model id or provider:model. [default: any]")
@click.option(
    "--capability",
    type=click.Choice([str(one) for one in Capability]),
    default=str(Capability.TRANSCRIBE),
    show_default=True,
)
@click.option("--tier", type=click.Choice([str(one) for one in Tier]), help="Accuracy tier.")
@click.option("--language", help="BCP-47 tag. [default: to be detected]")
@click.option(
    "--feature",
    "features",
    multiple=True,
    type=click.Choice([str(one) for one in Feature]),
    help="What the answer must have; may be repeated.",
)
@click.option("--seconds", type=click.FloatRange(min=0), default=0.0, help="Length of the audio.")
@click.option("--bytes", "size", type=click.IntRange(min=0), default=0, help="Size of the upload.")
@click.option("--team", help="Its allow-list counts. [default: no team's]")
@json_option
@config_option
def explain(  # noqa: PLR0913  # one parameter for each option
    *,
    path: Path | None,
    as_json: bool,
    model: str | None,
    capability: str,
    tier: str | None,
    language: str | None,
    features: tuple[str, ...],
    seconds: float,
    size: int,
    team: str | None,
) -> None:
    """
    Print the plan of a described request.

    It reads settings, plugins and cards; breakers and observed latencies are a running server's
    and count as closed and unknown here. Exits 1 when nobody would be asked.
    """
    from junctor.core.plans import Wish

    settings = load_settings(path)
    limits = settings.teams.get(team or "", settings.team_defaults)
    wish = Wish(
        capability=Capability(capability),
        model=model,
        tier=None if tier is None else Tier(tier),
        language=language,
        features=frozenset(Feature(one) for one in features),
        bytes=size,
        seconds=seconds,
        team=team or "",
        allowed_models=limits.allowed_models if team else (),
    )
    plan = _plan(settings, wish)
    if as_json:
        print_json(_as_json(plan))
    else:
        rows = [
            (str(n), one.card.name, one.place.value) for n, one in enumerate(plan.candidates, 1)
        ]
        rows += [("-", one.model, one.reason) for one in plan.excluded]
        print_table(("order", "model", "why"), rows)
    if not plan.candidates:
        raise SystemExit(1)


def _plan(settings: "Settings", wish: "Wish") -> "Plan":
    from junctor.core.health import Health
    from junctor.core.policy import Planner
    from junctor.routers.cli.offering import loaded

    plugins = loaded(settings)
    planner = Planner(
        catalog=plugins.providers(settings).catalog(settings.models),
        policy=settings.policy,
        observed=Health(settings.breaker),
    )
    return plugins.plan(planner.plan(wish), wish)


def _as_json(plan: "Plan") -> dict[str, object]:
    return {
        "candidates": [
            {"model": one.card.name, "place": one.place.value} for one in plan.candidates
        ],
        "excluded": [
            {"model": one.model, "reason": one.reason, "fault": one.fault.value}
            for one in plan.excluded
        ],
    }
