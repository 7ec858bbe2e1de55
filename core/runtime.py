"""
One running server without its HTTP face: what is opened at start, swapped at reload, closed last.

A reload validates first: settings, plugins, providers. Only when all of them are content is the
snapshot swapped; requests under way keep the old one, and providers that the new one dropped are
closed when the last of those requests is over.
"""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from attrs import define, field, frozen

from junctor.conf.settings import Settings
from junctor.core.accounts import Accounts
from junctor.core.artefacts import Artefacts
from junctor.core.attempts import Attempt
from junctor.core.audit import Audit
from junctor.core.callbacks import Callbacks
from junctor.core.complaints import Complaints
from junctor.core.dispatch import Dispatcher
from junctor.core.engine.spec import EngineCondition, HasEngines
from junctor.core.errors import ConfigError, OverloadedError
from junctor.core.gateway import Gateway
from junctor.core.health import Health
from junctor.core.idempotency import Idempotency
from junctor.core.jobs import Jobs
from junctor.core.keysets import given_keys
from junctor.core.ledger import Ledger
from junctor.core.lifecycle import close_all, start_all
from junctor.core.limits import MemoryConcurrencyLimiter, MemoryRateLimiter
from junctor.core.locales import prepare as prepare_locales
from junctor.core.net.guard import GuardedClient
from junctor.core.offers import Offer
from junctor.core.plugin_status import PluginStatus
from junctor.core.plugins import Plugins
from junctor.core.policy import Planner
from junctor.core.providers import Provider
from junctor.core.quality import Quality
from junctor.core.snapshots import Snapshot
from junctor.core.storage.database import Database, data_folder, database_url
from junctor.core.storage.folder import FolderLock
from junctor.core.telemetry import Telemetry

SCRATCH = "scratch"
"""Folder in the data folder for files that are being made; what a kill left in it goes at the start."""


@define(kw_only=True, eq=False)
class _Era:
    """A snapshot, how many requests use it, and whom to close when the last one is over."""

    snapshot: Snapshot
    offer: Offer
    users: int = 0
    dropped: tuple[Provider, ...] = ()


@frozen(kw_only=True)
class Condition:
    """What `/health` tells."""

    is_ready: bool
    """Whether there is at least one model to serve."""
    plugins: tuple[PluginStatus, ...]
    breakers: dict[str, str]
    """State of each breaker that is not closed, by `provider:model capability`."""
    engines: Mapping[str, EngineCondition] = field(factory=dict)
    """How each engine of a local provider is, by `provider:model`."""


class Runtime:
    """
    Everything that a server opens, in the order in which it has to be closed again.

    Args:
        settings: as loaded.
        plugins: loaded by the composition root.
        telemetry: where attempts and transcripts are counted.
        complaints: where plugin failures are logged.
        queues: those whose jobs it does, instead of what `jobs.work` says.

    """

    artefacts: Artefacts
    """Stored content; there is none before `open`, nor of the next two."""
    idempotency: Idempotency
    """Safe retries."""
    audit: Audit
    """Hashes of what was transcribed."""

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        *,
        telemetry: Telemetry,
        complaints: Complaints,
        queues: Sequence[str] | None = None,
    ) -> None:
        self.plugins = plugins
        self.telemetry = telemetry
        self.health = Health(settings.breaker)
        self.guard = GuardedClient(settings.network)
        """For URLs that callers give; `[network]` is read at start."""
        self.callbacks = Callbacks(lambda: self._settings, guard=self.guard)
        self.jobs = Jobs(lambda: self._settings, queues=queues, ended=self.callbacks.wake)
        """Kinds of jobs are registered before `open`."""
        self._complaints = complaints
        self._settings = settings
        self._eras: list[_Era] = []
        """Oldest first; the last one is what new requests get."""
        self._is_closing = False
        self._closing: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self._reloading = asyncio.Lock()
        self._gateway: Gateway | None = None

    @property
    def settings(self) -> Settings:
        """The settings of the current snapshot."""
        return self._settings

    @property
    def folder(self) -> Path:
        """The data folder, which is this process's own."""
        return data_folder(self._settings.storage)

    @property
    def gateway(self) -> Gateway:
        """The gateway; there is none before `open`."""
        if self._gateway is None:
            raise RuntimeError("The runtime is not open.")
        return self._gateway

    async def open(self) -> Self:
        """
        Take the data folder, open database and ledger, start the providers.

        Raises:
            ConfigError: the folder is in use or cannot be written, or the settings do not fit.
            PluginError: a plugin failed, and `loader.strict` is set.
            OverloadedError: the database cannot be reached.

        """
        async with AsyncExitStack() as stack:
            storage = self._settings.storage
            _refuse_shared_state(self._settings)
            self.jobs.check()
            folder = data_folder(storage)
            stack.enter_context(FolderLock(folder))
            await asyncio.to_thread(shutil.rmtree, folder / SCRATCH, ignore_errors=True)
            database = Database(database_url(storage))
            stack.push_async_callback(database.close)
            await database.upgrade()
            accounts = Accounts(database, lambda: self._settings)
            stack.push_async_callback(accounts.close)
            ledger = Ledger(folder / "journal", database, settings=lambda: self._settings)
            await ledger.open()
            stack.push_async_callback(ledger.close)
            await asyncio.to_thread(prepare_locales)
            await self._open_stores(stack, folder, database)
            quality = Quality(telemetry=self.telemetry, enter=self._enter, leave=self._leave)
            self._gateway = Gateway(
                accounts=accounts,
                rates=MemoryRateLimiter(),
                concurrency=MemoryConcurrencyLimiter(),
                ledger=ledger,
                hooks=self.plugins,
                enter=self._enter,
                leave=self._leave,
                quality=quality,
            )
            stack.push_async_callback(self._close_providers)
            await self._swap(self._settings)
            stack.push_async_callback(quality.close)
            stack.push_async_callback(self.idempotency.close)
            await self._open_jobs(stack, folder, database)
            self._stack = stack.pop_all()
        return self

    async def _open_stores(self, stack: AsyncExitStack, folder: Path, database: Database) -> None:
        self.audit = Audit(folder, database)
        await self.audit.open()
        stack.push_async_callback(self.audit.close)
        self.artefacts = Artefacts(
            folder / "artefacts", database, settings=lambda: self._settings.artefacts
        )
        await self.artefacts.open()
        stack.push_async_callback(self.artefacts.close)
        self.idempotency = Idempotency(database, self.artefacts)
        await self.idempotency.open()

    async def _open_jobs(self, stack: AsyncExitStack, folder: Path, database: Database) -> None:
        stack.push_async_callback(self.guard.close)
        stack.push_async_callback(self.callbacks.close)
        await self.callbacks.open(database, folder)
        stack.push_async_callback(self.jobs.close)
        await self.jobs.open(database)

    async def close(self) -> None:
        """Close in reverse order; idempotent."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def reload(self, settings: Settings) -> None:
        """
        Swap in new settings, or leave everything as it is and say why not.

        Raises:
            ConfigError: the settings do not fit.
            PluginError: a plugin failed, and `loader.strict` is set.

        """
        async with self._reloading:
            await self._swap(settings)

    def condition(self) -> Condition:
        """Return what `/health` tells."""
        era = self._eras[-1] if self._eras else None
        states = self.health.states().items()
        return Condition(
            is_ready=era is not None and bool(era.snapshot.catalog.cards),
            plugins=() if era is None else era.offer.statuses,
            breakers={
                f"{model} {capability}": state.value
                for (model, capability), state in states
                if state.value != "closed"
            },
            engines={
                f"{provider.name}:{model}": engine
                for provider in (() if era is None else era.offer.providers)
                if isinstance(provider, HasEngines)
                for model, engine in provider.engines().items()
            },
        )

    async def _swap(self, settings: Settings) -> None:
        await asyncio.to_thread(given_keys, settings.tokens)
        previous = self._eras[-1].offer if self._eras else None
        offer = await start_all(
            self.plugins.providers(settings, previous=previous),
            start_timeout=settings.loader.start_timeout,
            close_timeout=settings.loader.close_timeout,
            complaints=self._complaints,
            strict=settings.loader.strict,
        )
        if previous is not None:
            self._eras[-1].dropped = previous.dropped_by(offer)
        self._settings = settings
        self._eras.append(_Era(snapshot=self._snapshot(settings, offer), offer=offer))
        self.health.configure(settings.breaker, self._eras[-1].snapshot.catalog.cards)
        self._retire()

    def _snapshot(self, settings: Settings, offer: Offer) -> Snapshot:
        catalog = offer.catalog(settings.models)
        return Snapshot(
            settings=settings,
            catalog=catalog,
            planner=Planner(catalog=catalog, policy=settings.policy, observed=self.health),
            dispatcher=Dispatcher(
                health=self.health, policy=settings.policy, observe=self._observe
            ),
            observe_windows=self.telemetry.windows,
        )

    def _observe(self, attempt: Attempt) -> None:
        self.telemetry.attempt(attempt)
        self.plugins.attempt(attempt)

    def _enter(self) -> Snapshot:
        if self._is_closing or not self._eras:
            raise OverloadedError("The server is starting or shutting down.")
        era = self._eras[-1]
        era.users += 1
        return era.snapshot

    def _leave(self, snapshot: Snapshot) -> None:
        for era in reversed(self._eras):
            if era.snapshot is snapshot:
                era.users -= 1
                break
        self._retire()

    def _retire(self) -> None:
        """Close what the oldest eras dropped; an era in use keeps all that came after it."""
        while len(self._eras) > 1 and self._eras[0].users == 0:
            dropped = self._eras.pop(0).dropped
            if dropped:
                task = asyncio.create_task(self._close(dropped))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def _close(self, providers: Sequence[Provider]) -> None:
        await close_all(
            providers,
            close_timeout=self._settings.loader.close_timeout,
            complaints=self._complaints,
        )

    async def _close_providers(self) -> None:
        self._is_closing = True
        eras, self._eras = self._eras, []
        for era in eras:
            await self._close(era.dropped)
        if eras:
            await self._close(eras[-1].offer.providers)
        await asyncio.gather(*self._closing)


def _refuse_shared_state(settings: Settings) -> None:
    if settings.storage.shared_state_url:
        raise ConfigError(
            "Limits shared between processes are not built yet; leave it empty and run one "
            "process on each data folder.",
            key="storage.shared_state_url",
        )
