"""The models of one local provider, an engine each: listed, preloaded, found, closed."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from attrs import frozen

from junctor.core.cards import ModelCard
from junctor.core.engine.spec import EngineStatus
from junctor.core.engine.supervisor import Engine
from junctor.core.errors import ProviderError, ProviderRejectedError

_log = structlog.get_logger(__name__)


@frozen(kw_only=True)
class Served:
    """One model: its card, and the engine behind it."""

    card: ModelCard
    engine: Engine
    preloads: bool


class ServedModels:
    """
    What local providers of several models have in common.

    Args:
        served: each model by its id.

    """

    name: str

    def __init__(self, served: Mapping[str, Served]) -> None:
        self._served = dict(served)

    def models(self) -> Sequence[ModelCard]:
        """Return the card of each model."""
        return tuple(served.card for served in self._served.values())

    def engines(self) -> dict[str, EngineStatus]:
        """Return how each engine is, by model id."""
        return {model: served.engine.status for model, served in self._served.items()}

    async def start(self) -> None:
        """
        Load what is to be preloaded; a model that fails is logged, and refuses its requests.

        Raises:
            ProviderUnavailableError: every model of the provider was to be loaded, and none could.

        """
        wanted = [served for served in self._served.values() if served.preloads]
        results = await asyncio.gather(
            *(served.engine.preload() for served in wanted), return_exceptions=True
        )
        failures = [error for error in results if isinstance(error, BaseException)]
        for served, error in zip(wanted, results, strict=True):
            if isinstance(error, ProviderError):
                _log.warning("model_not_loaded", model=served.card.name, error=str(error))
        if failures and len(failures) == len(self._served):
            raise failures[0]

    async def close(self) -> None:
        """End all processes."""
        await asyncio.gather(*(served.engine.close() for served in self._served.values()))

    def find(self, model: str) -> Served:
        """
        Return a model by its id.

        Raises:
            ProviderRejectedError: there is none of that id.

        """
        if served := self._served.get(model):
            return served
        raise ProviderRejectedError(
            f"There is no model {model!r} here, only {', '.join(self._served)}.",
            provider=self.name,
            model=model,
        )
