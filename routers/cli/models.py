"""`junctor models`: what callers may ask for."""

from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from junctor.routers.cli.options import config_option, json_option, load_settings
from junctor.routers.cli.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
        print_json({"names": _names(catalog), "models": _cards(catalog)})
        return
    chains = (
        (name, ", ".join(_said(catalog, one.pool)), ", ".join(_said(catalog, one.chain)))
        for name, one in catalog.chains.items()
    )
    print_table(("name", "pool", "chain"), chains)
    columns = ("model", "capabilities", "languages", "quality", "summary")
    print_table(columns, starmap(_row, catalog.shared().items()))


def _names(catalog: "Catalog") -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "description": model.description,
            "pool": _absences(catalog, model.pool),
            "chain": _absences(catalog, dict.fromkeys(model.chain)),
        }
        for name, model in catalog.chains.items()
    ]


def _absences(catalog: "Catalog", names: "Iterable[str]") -> list[dict[str, object]]:
    return [
        {"model": one, "absence": None if catalog.serves(one) else catalog.absence(one)}
        for one in names
    ]


def _said(catalog: "Catalog", names: "Iterable[str]") -> list[str]:
    return [
        one if catalog.serves(one) else f"{one} ({catalog.absence(one)})"
        for one in dict.fromkeys(names)
    ]


def _cards(catalog: "Catalog") -> list[dict[str, object]]:
    """Return each model once, with the names of its replicas where it has any."""
    return [
        {
            **_card(cards[0]),
            "model": name,
            "replicas": [one.name for one in cards if one.replica_of],
        }
        for name, cards in catalog.shared().items()
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


def _row(name: str, cards: "Sequence[ModelCard]") -> tuple[str, ...]:
    few = 6
    card = cards[0]
    locales = ["any"] if card.locales is None else sorted(card.locales)
    languages = ", ".join(locales) if len(locales) <= few else f"{len(locales)} languages"
    capabilities = ", ".join(sorted(card.capabilities))
    summary = card.summary if len(cards) == 1 else f"{card.summary} ({len(cards)} replicas)"
    return (name, capabilities, languages, f"{card.quality:g}", summary)
