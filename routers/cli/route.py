"""`junctor route`: who would serve a request, and why the others would not."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from junctor.core.cards import Capability, Feature, Tier
from junctor.routers.cli.options import config_option, json_option, load_settings
from junctor.routers.cli.output import print_json, print_table

if TYPE_CHECKING:
    from junctor.conf.settings import Settings, TierPolicy
    from junctor.core.plans import Candidate, Plan, Wish
    from junctor.core.tiers import Tongue


@click.group
def route() -> None:
    """Look at the policy."""


@route.command
@click.option("--model", help="Public name, bare model id or provider:model. [default: any]")
@click.option("--provider", help="A provider, whose best fitting model is meant.")
@click.option(
    "--capability",
    type=click.Choice([str(one) for one in Capability]),
    default=str(Capability.TRANSCRIBE),
    show_default=True,
)
@click.option("--tier", type=click.Choice([str(one) for one in Tier]), help="Accuracy tier.")
@click.option("--language", help="BCP-47 tag, or auto. [default: what the tier says, or auto]")
@click.option("--allowed", multiple=True, help="A language that may be detected; may be repeated.")
@click.option(
    "--feature",
    "features",
    multiple=True,
    type=click.Choice([str(one) for one in Feature]),
    help="What the answer must have; may be repeated.",
)
@click.option("--seconds", type=click.FloatRange(min=0), default=0.0, help="Length of the audio.")
@click.option("--bytes", "size", type=click.IntRange(min=0), default=0, help="Size of the upload.")
@click.option(
    "--prompt-tokens", type=click.IntRange(min=0), default=0, help="Chat: length of the prompt."
)
@click.option(
    "--output-tokens", type=click.IntRange(min=0), default=0, help="Chat: longest answer wanted."
)
@click.option(
    "--affinity", default="", help="Chat: any text; requests with the same one begin alike."
)
@click.option("--team", help="Its allow-list counts. [default: no team's]")
@json_option
@config_option
def explain(  # noqa: PLR0913  # one parameter for each option
    *,
    path: Path | None,
    as_json: bool,
    model: str | None,
    provider: str | None,
    capability: str,
    tier: str | None,
    language: str | None,
    allowed: tuple[str, ...],
    features: tuple[str, ...],
    seconds: float,
    size: int,
    prompt_tokens: int,
    output_tokens: int,
    affinity: str,
    team: str | None,
) -> None:
    """
    Print the plan of a described request.

    It reads settings, plugins and cards; breakers, load and observed latencies are a running
    server's and count as closed, none and unknown here: equal members of a pool come in any order.
    Exits 1 when nobody would be asked.
    """
    from junctor.core.plans import Wish
    from junctor.core.tiers import merged

    settings = load_settings(path)
    limits = settings.teams.get(team or "", settings.team_defaults)
    chosen = tier or settings.policy.default_tier
    overlays = _layers(limits.tiers, chosen)
    house = merged(*_layers(settings.policy.tiers, chosen), *overlays)
    spoken = _tongue(house, language, allowed)
    wish = Wish(
        capability=Capability(capability),
        model=model,
        provider=provider,
        tier=Tier(chosen),
        language=spoken.language,
        allowed_languages=() if spoken.language else spoken.allowed,
        features=frozenset(Feature(one) for one in features),
        bytes=size,
        seconds=seconds,
        tokens=prompt_tokens,
        output_tokens=output_tokens,
        affinity=affinity.encode(),
        team=team or "",
        allowed_models=limits.allowed_models if team else (),
        overlays=overlays,
    )
    plan = _plan(settings, wish)
    if as_json:
        print_json(_as_json(plan))
    else:
        rows = [
            (str(n), one.card.name, _why(one, plan)) for n, one in enumerate(plan.candidates, 1)
        ]
        rows += [("-", one.model, one.reason) for one in plan.excluded]
        print_table(("order", "model", "why"), rows)
        for line in () if wish.capability is Capability.CHAT else _remarks(plan, spoken):
            click.echo(line)
    if not plan.candidates:
        raise SystemExit(1)


def _why(candidate: "Candidate", plan: "Plan") -> str:
    """Say why a candidate stands there, and of one that shares a load how it stands."""
    found = next((one for one in plan.members if one.name == candidate.card.name), None)
    if found is None:
        return candidate.place.value
    said = [
        f"{found.outstanding} outstanding",
        f"latency {found.latency:g} s",
        f"weight {found.weight:g}",
    ]
    if found.is_full:
        said.append("full")
    if found.is_home:
        said.append("holds the conversation")
    return f"{candidate.place.value}; pool: {', '.join(said)}"


def _layers(tiers: "Mapping[Any, TierPolicy]", tier: str) -> "tuple[TierPolicy, ...]":
    return (tiers[tier],) if tier in tiers else ()


def _tongue(house: "TierPolicy", language: str | None, allowed: tuple[str, ...]) -> "Tongue":
    from junctor.conf.settings import TierPolicy
    from junctor.core.locales import checked
    from junctor.core.tiers import tongue

    named = None if language in {None, "auto"} else checked(str(language), param="language")
    says_nothing = language is None and house.language is None and house.language_mode is None
    return tongue(
        mode="auto" if language == "auto" or says_nothing else None,
        language=named,
        own=TierPolicy(allowed_languages=allowed),
        house=house,
    )


def _remarks(plan: "Plan", spoken: "Tongue") -> Iterator[str]:
    among = f" among {', '.join(spoken.allowed)}" if spoken.allowed else ""
    yield f"language: {spoken.language or f'to be detected{among}'}"
    if plan.ensemble:
        yield f"asked at once: {', '.join(one.card.name for one in plan.ensemble)}"
    if plan.is_hedged:
        yield "hedged: the second is asked too when the first is late"
    told = [one.card.name for one in plan.candidates if one.needs_language]
    if told:
        yield f"identified first, since they have to be told the language: {', '.join(told)}"


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
        "pool": [
            {
                "model": one.name,
                "outstanding": one.outstanding,
                "latency": one.latency,
                "weight": one.weight,
                "full": one.is_full,
                "home": one.is_home,
            }
            for one in plan.members
        ],
        "ensemble": [one.card.name for one in plan.ensemble],
        "hedged": plan.is_hedged,
        "excluded": [
            {"model": one.model, "reason": one.reason, "fault": one.fault.value}
            for one in plan.excluded
        ],
    }
