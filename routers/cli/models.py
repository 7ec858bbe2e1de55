"""`junctor models`: what callers may ask for."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from junctor.routers.cli.options import config_option, json_option, load_settings
from junctor.routers.cli.output import print_json, print_table

if TYPE_CHECKING:
    from junctor.core.cards import ModelCard
    from junctor.core.catalog import Catalog


@click.group
def models() -> None:
    """Look at the models."""


@models.command(name="list")
@json_option
@config_option
def list_(path: Path | None, *, as_json: bool) -> None:
    """List the public model names with their chains, and the cards of all models."""
    from junctor.routers.cli.offering import offer_of

    settings = load_settings(path)
    catalog = offer_of(settings).catalog(settings.models)
    if as_json:
        print_json({"names": _names(catalog), "models": [_card(c) for c in catalog.cards.values()]})
        return
    chains = ((name, ", ".join(_said(catalog, name))) for name in catalog.chains)
    print_table(("name", "chain"), chains)
    columns = ("model", "capabilities", "languages", "quality", "summary")
    print_table(columns, (_row(card) for card in catalog.cards.values()))


def _names(catalog: "Catalog") -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "description": model.description,
            "chain": [
                {"model": one, "absence": _absence(catalog, one)} for one in catalog.resolve(name)
            ],
        }
        for name, model in catalog.chains.items()
    ]


def _absence(catalog: "Catalog", name: str) -> str | None:
    return None if name in catalog.cards else catalog.absence(name)


def _said(catalog: "Catalog", name: str) -> list[str]:
    return [
        one if one in catalog.cards else f"{one} ({catalog.absence(one)})"
        for one in catalog.resolve(name)
    ]


def _card(card: "ModelCard") -> dict[str, object]:
    return {
        "model": card.name,
        "summary": card.summary,
        "capabilities": sorted(card.capabilities),
        "features": sorted(card.features),
        "locales": None if card.locales is None else sorted(card.locales),
        "tiers": sorted(card.tiers),
        "quality": card.quality,
        "price": card.price,
        "latency": card.latency,
        "max_bytes": card.max_bytes,
        "max_seconds": card.max_seconds,
    }


def _row(card: "ModelCard") -> tuple[str, ...]:
    few = 6
    locales = ["any"] if card.locales is None else sorted(card.locales)
    languages = ", ".join(locales) if len(locales) <= few else f"{len(locales)} languages"
    capabilities = ", ".join(sorted(card.capabilities))
    return (card.name, capabilities, languages, f"{card.quality:g}", card.summary)
