"""
From a wish to a plan: which models are asked, in which order, and why the others are not.

Pure: it reads cards, settings and the observed health, and touches nothing. The order is the
requested model or provider and the chain behind it, then the tier's preference, then the tier's
fallback chain (`junctor.core.tiers` says whose); with none of these, every fitting model ranked by
the tier's weights. Where a provider is named without a model, its best fitting model is meant.
"""

from collections.abc import Iterable, Iterator, Sequence
from random import random
from typing import Protocol, cast

from attrs import define, evolve, field, frozen

from junctor.conf.settings import Policy, TierPolicy, Weights
from junctor.core.balance import Member, Random, home, ordered
from junctor.core.cards import Capability, ModelCard, Tier
from junctor.core.catalog import Catalog, Pool
from junctor.core.errors import (
    ContextLengthError,
    ForbiddenError,
    JunctorError,
    NoCandidateError,
    SaturatedError,
    TooLargeError,
    TooLongError,
    UnknownModelError,
    UnsupportedOptionError,
)
from junctor.core.fitness import (
    SERVES,
    detects,
    is_abroad,
    is_deaf,
    misfit,
    serves,
    stand_ins,
    standing,
    too_much,
)
from junctor.core.lasting import Kind, Lasting, kind_of, lasting
from junctor.core.plans import NO_RULES, Candidate, Exclusion, Fault, Place, Plan, Wish
from junctor.core.tiers import merged

_REMEMBERED = 1000
"""Lasting plans kept at a time."""


class Observed(Protocol):
    """What policy wants to know of the past; `junctor.core.health.Health` knows it."""

    def is_open(self, model: str, capability: Capability) -> bool:
        """Say whether the breaker of `provider:model` lets nothing through now."""

    def pause(self, model: str, capability: Capability) -> float:
        """Return for how many seconds `provider:model` asked to be left alone; 0 for none."""

    def latency(self, model: str, capability: Capability) -> float | None:
        """Return the observed latency, seconds; None before the first answer."""

    def outstanding(self, model: str, capability: Capability) -> int:
        """Return the number of requests under way at `provider:model`."""

    def is_full(self, model: str, capability: Capability) -> bool:
        """Say whether one more request at `provider:model` would be turned away."""


@frozen(kw_only=True)
class Planner:
    """Makes plans from one immutable snapshot of cards and settings."""

    catalog: Catalog
    policy: Policy
    observed: Observed
    random: Random = random
    """Decides between the members of a pool that stand alike."""
    _made: dict[tuple[str, Place, bool], Candidate] = field(factory=dict, init=False, eq=False)
    """Candidates that were made before; there are as many as cards and places."""
    _lasting: dict[Kind, Lasting] = field(factory=dict, init=False, eq=False)

    def rules(self, wish: Wish) -> TierPolicy:
        """
        Return the policy of the wish's tier: the deployment's, and what lies over it.

        Of who helps on the way (identifies, translates) a tier says no names, for it names who is
        to listen; nor does its price, which is one of minutes, bound those who are paid by token.
        """
        tiers = cast("dict[str, TierPolicy]", self.policy.tiers)
        house = tiers.get(wish.tier or self.policy.default_tier) or NO_RULES
        if wish.capability not in SERVES and wish.capability is not Capability.IDENTIFY_LANGUAGE:
            return _weighing(house, *wish.overlays)
        rules = merged(house, *wish.overlays)
        if wish.capability in SERVES:
            return rules
        return TierPolicy(
            weights=rules.weights, max_price=rules.max_price, max_latency=rules.max_latency
        )

    def plan(self, wish: Wish) -> Plan:
        """
        Make the plan of a wish.

        Raises:
            UnknownModelError: the wish names a model that nobody serves.

        """
        kind = kind_of(wish)
        known = self._lasting.get(kind) if kind is not None else None
        if known is not None and known.holds(wish, self.observed.is_open):
            return known.plan
        draft = _Draft(self, wish, self.rules(wish))
        for pools, place in draft.groups():
            draft.consider(pools, place)
        plan = draft.finished()
        if kind is not None and known is None:
            self._remember(kind, lasting(plan, draft.fitting))
        return plan

    def _remember(self, kind: Kind, plan: Lasting | None) -> None:
        if plan is None:
            return
        if len(self._lasting) >= _REMEMBERED:
            self._lasting.clear()
        self._lasting[kind] = plan

    def candidate(self, name: str, place: Place, *, needs_language: bool) -> Candidate:
        """Return `provider:model` as a candidate; the same one for the same words."""
        key = (name, place, needs_language)
        made = self._made.get(key)
        if made is None:
            card = self.catalog.cards[name]
            made = Candidate(card=card, place=place, needs_language=needs_language)
            self._made[key] = made
        return made

    def identifies(self, wish: Wish) -> bool:
        """Say whether somebody whom the team may use can tell which language is spoken."""
        return bool(self.plan(identification(wish)).candidates)


def identification(wish: Wish) -> Wish:
    """Return the wish to know the language of what another wish is about."""
    return Wish(
        capability=Capability.IDENTIFY_LANGUAGE,
        tier=wish.tier,
        bytes=wish.bytes,
        seconds=wish.seconds,
        team=wish.team,
        allowed_models=wish.allowed_models,
        overlays=wish.overlays,
    )


def _weighing(*layers: TierPolicy) -> TierPolicy:
    """Return the weights of merged layers, and nothing else of them."""
    for rules in reversed(layers):
        if rules.weights is not None:
            return TierPolicy(weights=rules.weights)
    return NO_RULES


@define
class _Draft:
    """A plan being made."""

    planner: Planner
    wish: Wish
    rules: TierPolicy
    candidates: list[Candidate] = field(factory=list)
    excluded: list[Exclusion] = field(factory=list)
    members: list[Member] = field(factory=list)
    """How those who share a load stood."""
    _seen: dict[str, bool] = field(factory=dict)
    """The names that were considered, and whether they were taken."""
    _places: int = 0
    """Places taken, each by one model or one pool; a model without ears takes none."""
    _identifies: bool | None = None

    @property
    def catalog(self) -> Catalog:
        """What is served."""
        return self.planner.catalog

    @property
    def fitting(self) -> list[ModelCard]:
        """The cards that were found to fit."""
        return [self.catalog.cards[name] for name, fits in self._seen.items() if fits]

    def groups(self) -> Iterator[tuple[Sequence[Pool], Place]]:
        """Yield pools in order; of a group, the first one of which anybody fits is taken."""
        wish, rules = self.wish, self.rules
        if wish.model is not None:
            route = self._route(wish.model)
            yield route[:1], Place.REQUESTED
            for pool in route[1:]:
                yield (pool,), Place.FALLBACK
        elif wish.provider is not None:
            yield self._of_provider(wish.provider), Place.REQUESTED
        for one in rules.provider_preference:
            yield self._of_provider(one), Place.PREFERRED
        for one in rules.fallback_chain:
            yield self._of_provider(one), Place.TIER_CHAIN
        is_free = wish.model is None and wish.provider is None
        if is_free and not rules.provider_preference and not rules.fallback_chain:
            yield from (((pool,), Place.RANKED) for pool in self._ranked())

    def consider(self, pools: Sequence[Pool], place: Place) -> None:
        """Take the first of a group of which anybody fits; note the others only where none does."""
        reasons: list[Exclusion] = []
        for pool in pools:
            names = [name for name in pool.members if not self._seen.get(name)]
            if not names:
                return
            fitting: list[str] = []
            left_out: list[Exclusion] = []
            for name in names:
                exclusion = self._judge(name, place)
                if exclusion is None:
                    fitting.append(name)
                elif name not in self._seen:
                    left_out.append(exclusion)
            if fitting:
                self._take(pool, fitting, place)
                self._note(left_out)
                return
            reasons += left_out
        self._note(reasons)

    def _note(self, reasons: Iterable[Exclusion]) -> None:
        for one in reasons:
            self._seen[one.model] = False
            self.excluded.append(one)

    def _take(self, pool: Pool, fitting: Sequence[str], place: Place) -> None:
        self._seen.update(dict.fromkeys(fitting, True))
        most = self.planner.policy.max_candidates
        if self._places >= most:
            return
        cards = self.catalog.cards
        if self._is_deaf(cards[fitting[0]]):
            most = 1  # one reasons over what the others hear
        else:
            self._places += 1
        for name in self._balanced(pool, fitting)[:most] if len(fitting) > 1 else fitting:
            self.candidates.append(self._candidate(name, place))

    def _balanced(self, pool: Pool, names: Sequence[str]) -> Sequence[str]:
        """Return members of a pool in the order in which they are to be asked."""
        members = self._members(pool, names)
        found = ordered(members, pool.balance, random=self.planner.random)
        affinity = self.wish.affinity
        first = home(members, affinity) if affinity and pool.has_affinity else None
        if first is not None:
            first.is_home = True
            found.remove(first)
            found.insert(0, first)
        self.members += found
        return [one.name for one in found]

    def _members(self, pool: Pool, names: Sequence[str]) -> list[Member]:
        observed, capability = self.planner.observed, self.wish.capability
        cards, weights, is_timed = self.catalog.cards, pool.members, pool.balance == "peak-ewma"
        return [
            Member(
                name,
                observed.outstanding(name, capability),
                self._latency(cards[name]) if is_timed else cards[name].latency,
                weights[name],
                observed.is_full(name, capability),
            )
            for name in names
        ]

    def _candidate(self, name: str, place: Place) -> Candidate:
        needs_language = self._must_be_told(self.catalog.cards[name])
        return self.planner.candidate(name, place, needs_language=needs_language)

    def _must_be_told(self, card: ModelCard) -> bool:
        """Say whether a model that is to listen has to be told the language, which is open."""
        listens = self.wish.capability in SERVES
        return listens and self.wish.language is None and not detects(card)

    def finished(self) -> Plan:
        """Return the plan, with ears behind a model that has none, and the ensemble beside it."""
        if self.wish.capability is Capability.CHAT:
            return self._plan()
        self._lend_ears()
        if self.wish.capability is not Capability.TRANSCRIBE or not self.candidates:
            return self._plan()
        plan = self._plan()
        if self.rules.ensemble:
            return evolve(plan, ensemble=self._ensemble(plan.candidates))
        if self.rules.hedge and len(plan.candidates) > 1:
            return evolve(plan, is_hedged=True)
        return plan

    def _plan(self) -> Plan:
        return Plan(
            candidates=tuple(self.candidates),
            excluded=tuple(self.excluded),
            members=tuple(self.members),
        )

    def _lend_ears(self) -> None:
        if not self.candidates or not self._is_deaf(self.candidates[0].card):
            return
        for pool in self._ranked() if len(self.candidates) == 1 else ():
            self.consider((pool,), Place.EARS)
        if len(self.candidates) == 1:
            deaf = self.candidates.pop().card
            reason = "reasons over a transcript, and no model that fits makes one"
            self.excluded.append(Exclusion(model=deaf.name, reason=reason, fault=Fault.REQUEST))

    def _ensemble(self, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """Return the first choice that hears, and who is asked with it; empty for nobody."""
        hearing = [one for one in candidates if not self._is_deaf(one.card)]
        members = {one.card.name: one for one in hearing[:1]}
        for one in self.rules.ensemble:
            for pool in self._of_provider(one):
                if not members.keys().isdisjoint(pool.members):
                    break
                able = [name for name in pool.members if self._judge(name, Place.ENSEMBLE) is None]
                if able:
                    name = (self._balanced(pool, able) if len(able) > 1 else able)[0]
                    members[name] = self._candidate(name, Place.ENSEMBLE)
                    break
        return tuple(members.values()) if len(members) > 1 else ()

    def _route(self, model: str) -> Sequence[Pool]:
        route, cards = self.catalog.route(model), self.catalog.cards
        wanted = self.wish.capability
        for pool in route:
            for name in pool.members:
                # A chain whose providers are all absent is known, only not served: the plan says why.
                if name not in cards or serves(cards[name], wanted):
                    return route
        raise UnknownModelError(model, self.catalog.known(*stand_ins(wanted)))

    def _of_provider(self, named: str) -> Sequence[Pool]:
        """Return `provider:model` itself, or all models of a provider, the best one first."""
        if named in self.catalog.chains:
            return self.catalog.route(named)
        if ":" in named:
            return (self.catalog.pool(named),)
        wanted = self.wish.capability
        cards = [one for one in self.catalog.cards.values() if one.provider == named]
        fitting = self._sorted(one for one in cards if serves(one, wanted))
        # An absent provider stays in the plan, as left out for its reason.
        return fitting or (self.catalog.pool(named),)

    def _ranked(self) -> Sequence[Pool]:
        cards = self.catalog.cards.values()
        wanted = self.wish.capability
        return self._sorted(one for one in cards if serves(one, wanted) and not self._is_deaf(one))

    def _sorted(self, cards: Iterable[ModelCard]) -> Sequence[Pool]:
        cards = list(cards)
        dearest = max((self._price(card) for card in cards), default=0.0) or 1.0
        slowest = max((self._latency(card) for card in cards), default=0.0) or 1.0
        weights = self.rules.weights or Weights()
        wish, tier = self.wish, self.wish.tier or Tier(self.planner.policy.default_tier)

        def score(card: ModelCard) -> tuple[int, bool, int, bool, float, str]:
            value = (
                weights.quality * card.quality
                + weights.price * (1 - self._price(card) / dearest)
                + weights.latency * (1 - self._latency(card) / slowest)
            )
            return (
                standing(card, wish.capability),
                tier not in card.tiers,
                len(wish.wanted - card.features),
                is_abroad(card, wish.language),
                -value,
                card.name,
            )

        best = dict.fromkeys(card.shared_name for card in sorted(cards, key=score))
        return [self.catalog.pool(name) for name in best]

    def _latency(self, card: ModelCard) -> float:
        seen = self.planner.observed.latency(card.name, self.wish.capability)
        return card.latency if seen is None else seen

    def _is_deaf(self, card: ModelCard) -> bool:
        """Say whether a model has no ears; who is to chat needs none."""
        return self.wish.capability is not Capability.CHAT and is_deaf(card)

    def _price(self, card: ModelCard) -> float:
        return card.price_of(self.wish.capability)

    def _judge(self, name: str, place: Place) -> Exclusion | None:
        card = self.catalog.cards.get(name)
        if card is None:
            reason = self.catalog.absence(name)
            return Exclusion(model=name, reason=reason, fault=Fault.SERVER)
        wish = self.wish
        return (
            misfit(card, wish)
            or (None if wish.capability is Capability.CHAT else self._mute(card, place))
            or too_much(card, wish)
            or (self._not_allowed(card, place) if wish.allowed_models else None)
            or (None if self.rules is NO_RULES else self._too_dear(card))
            or self._broken(name)
        )

    def _mute(self, card: ModelCard, place: Place) -> Exclusion | None:
        """Leave out who cannot work at this place: deaf, or in need of a language nobody tells."""
        reason = None
        if self._is_deaf(card) and (self.candidates or place is Place.ENSEMBLE):
            reason = "reasons over a transcript of others, so it can only be the first choice"
        elif self._must_be_told(card):
            # Named by an operator or a caller, a model of one language is taken at their word.
            is_named = place in {Place.REQUESTED, Place.FALLBACK, Place.PREFERRED, Place.TIER_CHAIN}
            if (not is_named or self.wish.allowed_languages) and not self._is_identified():
                reason = "cannot detect the language, and none was given"
        if reason is None:
            return None
        return Exclusion(model=card.name, reason=reason, fault=Fault.REQUEST)

    def _is_identified(self) -> bool:
        if self._identifies is None:
            self._identifies = self.planner.identifies(self.wish)
        return self._identifies

    def _not_allowed(self, card: ModelCard, place: Place) -> Exclusion | None:
        wish = self.wish
        names = {card.name, card.id, card.provider, card.shared_name, card.shared_id}
        if place in {Place.REQUESTED, Place.FALLBACK} and wish.model is not None:
            names.add(wish.model)  # a public name that is allowed opens its own chain, no more
        if not names.isdisjoint(wish.allowed_models):
            return None
        return Exclusion(model=card.name, reason="not allowed for this team", fault=Fault.TEAM)

    def _too_dear(self, card: ModelCard) -> Exclusion | None:
        rules, reason, fault = self.rules, None, Fault.SERVER
        if rules.max_price is not None and card.price > rules.max_price:
            reason = f"costs more than the tier's {rules.max_price:g} a minute"
        elif rules.max_latency is not None and self._latency(card) > rules.max_latency:
            reason = f"takes longer than the tier's {rules.max_latency:g} seconds"
            fault = Fault.SERVER if card.latency > rules.max_latency else Fault.TEMPORARY
        if reason is None:
            return None
        return Exclusion(model=card.name, reason=reason, fault=fault)

    def _broken(self, name: str) -> Exclusion | None:
        if not self.planner.observed.is_open(name, self.wish.capability):
            return None
        if pause := self.planner.observed.pause(name, self.wish.capability):
            reason = "asked us to slow down"
            return Exclusion(model=name, reason=reason, fault=Fault.TEMPORARY, retry_after=pause)
        reason = "left alone after repeated failures"
        return Exclusion(model=name, reason=reason, fault=Fault.TEMPORARY)


def refusal(plan: Plan) -> JunctorError:
    """Return the error that tells best why a plan has no candidate."""
    faults = {exclusion.fault for exclusion in plan.excluded}
    reasons = [str(exclusion) for exclusion in plan.excluded]
    if faults == {Fault.TEAM}:
        return ForbiddenError("Your team may not use this model. Ask the operator to allow it.")
    if faults <= {Fault.REQUEST, Fault.TEAM} and faults:
        return _request_refusal(plan, reasons)
    passing = [one for one in plan.excluded if one.fault is Fault.TEMPORARY]
    pauses = [one.retry_after for one in passing if one.retry_after is not None]
    if pauses and len(pauses) == len(passing):
        return SaturatedError(reasons, retry_after=min(pauses))
    return NoCandidateError(reasons, temporary=bool(passing))


def _request_refusal(plan: Plan, reasons: list[str]) -> JunctorError:
    seconds = [one.max_seconds for one in plan.excluded if one.max_seconds is not None]
    sizes = [one.max_bytes for one in plan.excluded if one.max_bytes is not None]
    if all(one.max_tokens is not None for one in plan.excluded):
        return _too_many_tokens(plan.excluded)
    if len(seconds) + len(sizes) == len(plan.excluded):
        is_long = len(seconds) >= len(sizes)
        return (
            TooLongError(limit_seconds=max(seconds))
            if is_long
            else TooLargeError(limit_bytes=max(sizes))
        )
    return UnsupportedOptionError(
        f"No model can do what this request asks for: {'; '.join(reasons)}. Change the request, "
        "or name another model."
    )


def _too_many_tokens(excluded: Iterable[Exclusion]) -> ContextLengthError:
    """Name the largest bound; of the answer's where lowering that alone would help."""
    best = max(excluded, key=lambda one: (one.is_answer_long, one.max_tokens or 0))
    return ContextLengthError(
        needed=best.needed_tokens, limit=best.max_tokens or 0, is_answer_long=best.is_answer_long
    )
