"""From a wish to a plan: the order of the candidates, and why others are left out."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from junctor.conf.settings import Model, Policy, TierPolicy, Weights
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.catalog import Absence, Catalog
from junctor.core.errors import (
    ContextLengthError,
    ForbiddenError,
    NoCandidateError,
    SaturatedError,
    TooLargeError,
    TooLongError,
    UnknownModelError,
    UnsupportedOptionError,
)
from junctor.core.plans import Fault, Place, Plan, Wish
from junctor.core.policy import Planner, refusal
from junctor.core.testing.fakes import FakeTranscriber, fake_card


@define
class Seen:
    """What health would say."""

    open: set[str] = field(factory=set)
    latencies: dict[str, float] = field(factory=dict)
    busy: dict[str, int] = field(factory=dict)
    full: set[str] = field(factory=set)
    pauses: dict[str, float] = field(factory=dict)

    def pause(self, model: str, _: Capability) -> float:
        return self.pauses.get(model, 0.0)

    def is_open(self, model: str, _: Capability) -> bool:
        return model in self.open

    def latency(self, model: str, _: Capability) -> float | None:
        return self.latencies.get(model)

    def outstanding(self, model: str, _: Capability) -> int:
        return self.busy.get(model, 0)

    def is_full(self, model: str, _: Capability) -> bool:
        return model in self.full


def card(name: str, **changes: Any) -> ModelCard:
    provider, _, model = name.partition(":")
    return evolve(fake_card(model, provider=provider), **changes)


def planner(
    cards: Iterable[ModelCard],
    *,
    chains: Mapping[str, tuple[str, ...] | Model] | None = None,
    policy: Policy | None = None,
    seen: Seen | None = None,
    absences: dict[str, Absence] | None = None,
) -> Planner:
    by_provider: dict[str, list[ModelCard]] = {}
    for one in cards:
        by_provider.setdefault(one.provider, []).append(one)
    catalog = Catalog.of(
        [FakeTranscriber(name, cards=served) for name, served in by_provider.items()],
        {
            name: one if isinstance(one, Model) else Model(chain=one)
            for name, one in (chains or {}).items()
        },
        absences=absences or {},
    )
    return Planner(catalog=catalog, policy=policy or Policy(), observed=seen or Seen())


def wish(model: str | None = None, **more: Any) -> Wish:
    return replace(Wish(capability=Capability.TRANSCRIBE, model=model, language="en"), **more)


def names(plan: Plan) -> list[str]:
    return [candidate.card.name for candidate in plan.candidates]


def reasons(plan: Plan) -> dict[str, str]:
    return {exclusion.model: exclusion.reason for exclusion in plan.excluded}


ABC = [card("a:one"), card("b:two"), card("c:three")]


def test_a_public_name_stands_for_its_chain() -> None:
    """The first of the chain is the one requested, the rest are its fallbacks."""
    plan = planner(ABC, chains={"best": ("c:three", "a:one")}).plan(wish("best"))

    assert [(c.card.name, c.place) for c in plan.candidates] == [
        ("c:three", Place.REQUESTED),
        ("a:one", Place.FALLBACK),
    ]


@pytest.mark.parametrize("model", ["two", "b:two"])
def test_a_model_may_be_named_bare_or_with_its_provider(model: str) -> None:
    """Both name the same one."""
    assert names(planner(ABC).plan(wish(model))) == ["b:two"]


def test_an_unknown_model_names_the_known_ones() -> None:
    """The caller learns what there is."""
    with pytest.raises(UnknownModelError) as caught:
        planner(ABC, chains={"best": ("a:one",)}).plan(wish("worst"))

    assert caught.value.known == ("a:one", "b:two", "best", "c:three")


def test_a_model_of_another_capability_is_unknown_here() -> None:
    """A chat model does not transcribe, however well it is known."""
    chat = card("a:chat", capabilities=frozenset({Capability.CHAT}))
    with pytest.raises(UnknownModelError):
        planner([chat]).plan(wish("chat"))


def test_preference_and_chain_of_the_tier_stand_behind_the_requested_model() -> None:
    """Requested, then preferred, then the tier's chain; nobody twice."""
    tier = TierPolicy(provider_preference=("b",), fallback_chain=("c:three", "a:one"))
    plan = planner(ABC, policy=Policy(tiers={"medium": tier})).plan(wish("one"))

    assert [(c.card.name, c.place) for c in plan.candidates] == [
        ("a:one", Place.REQUESTED),
        ("b:two", Place.PREFERRED),
        ("c:three", Place.TIER_CHAIN),
    ]


@pytest.mark.parametrize(
    ("weights", "first"),
    [
        (Weights(quality=1, price=0, latency=0), "a:good"),
        (Weights(quality=0, price=1, latency=0), "b:cheap"),
        (Weights(quality=0, price=0, latency=1), "c:quick"),
    ],
    ids=["quality", "price", "latency"],
)
def test_without_any_preference_the_weights_rank(weights: Weights, first: str) -> None:
    """Each weight alone brings its own winner."""
    cards = [
        card("a:good", quality=0.9, price=0.5, latency=2.0),
        card("b:cheap", quality=0.1, price=0.1, latency=2.0),
        card("c:quick", quality=0.1, price=0.5, latency=9.0),
    ]
    policy = Policy(tiers={"medium": TierPolicy(weights=weights)})
    plan = planner(cards, policy=policy, seen=Seen(latencies={"c:quick": 0.1})).plan(wish())

    assert names(plan)[0] == first


def test_a_model_unfit_for_the_tier_ranks_last() -> None:
    """However good its figures are."""
    cards = [card("a:unfit", quality=1.0, tiers=frozenset({Tier.LOW})), card("b:fit", quality=0.1)]

    assert names(planner(cards).plan(wish(tier=Tier.HIGH))) == ["b:fit", "a:unfit"]


@pytest.mark.parametrize(
    ("changes", "wanted", "reason"),
    [
        ({"locales": frozenset({"th"})}, {}, "does not know the language en"),
        (
            {"features": frozenset[Feature]()},
            {"features": frozenset({Feature.WORD_TIMESTAMPS})},
            "lacks word-timestamps",
        ),
        ({"max_seconds": 30.0}, {"seconds": 31.0}, "takes at most 30 seconds of audio"),
        ({"max_bytes": 10}, {"bytes": 11}, "takes at most 10 bytes"),
        ({}, {"allowed_models": ("b",)}, "not allowed for this team"),
        ({"price": 0.6}, {}, "costs more than the tier's 0.5 a minute"),
    ],
    ids=["locale", "feature", "seconds", "bytes", "team", "price"],
)
def test_each_one_left_out_carries_its_reason(
    changes: dict[str, object], wanted: dict[str, object], reason: str
) -> None:
    """Nothing disappears in silence."""
    policy = Policy(tiers={"medium": TierPolicy(max_price=0.5)})
    plan = planner([card("a:one", **changes)], policy=policy).plan(wish("one", **wanted))

    assert (names(plan), reasons(plan)) == ([], {"a:one": reason})


def test_a_model_at_its_very_caps_is_kept() -> None:
    """The caps are inclusive."""
    one = card("a:one", max_seconds=30.0, max_bytes=10, price=0.5)
    plan = planner([one]).plan(wish("one", seconds=30.0, bytes=10))

    assert names(plan) == ["a:one"]


def test_an_open_breaker_leaves_a_candidate_out_for_now() -> None:
    """It is a passing reason."""
    plan = planner(ABC, chains={"best": ("a:one", "b:two")}, seen=Seen(open={"a:one"})).plan(
        wish("best")
    )

    assert names(plan) == ["b:two"]
    assert plan.excluded[0].fault is Fault.TEMPORARY


def test_an_absent_provider_is_left_out_with_its_reason() -> None:
    """The plan says why the first of the chain was not asked."""
    absences = {"vendor": Absence(reason="no credentials")}
    chains = {"best": ("vendor:x", "ghost:y", "a:one")}
    plan = planner(ABC, chains=chains, absences=absences).plan(wish("best"))

    assert names(plan) == ["a:one"]
    assert reasons(plan) == {"vendor:x": "no credentials", "ghost:y": "not installed"}


def test_a_region_falls_to_its_language() -> None:
    """`en-IN` is understood by a model that lists `en`, or another region of it."""
    cards = [
        card("a:one", locales=frozenset({"en"})),
        card("b:two", locales=frozenset({"en-US", "th"})),
        card("c:three", locales=frozenset({"th"})),
    ]

    assert set(names(planner(cards).plan(wish(language="en-IN")))) == {"a:one", "b:two"}


def test_without_a_language_only_a_named_model_may_lack_detection() -> None:
    """Ranked by policy a monolingual model would guess; named by somebody it is wanted."""
    mono = card(
        "a:mono",
        features=frozenset[Feature](),
        locales=frozenset({"en"}),
        capabilities=frozenset({Capability.TRANSCRIBE}),
    )
    ranked = planner([mono]).plan(wish(language=None))
    named = planner([mono]).plan(wish("mono", language=None))

    assert (names(ranked), names(named)) == ([], ["a:mono"])


def test_a_stream_may_be_served_by_a_whole_transcript() -> None:
    """A provider that cannot stream still answers a streaming client."""
    whole = card("a:one", capabilities=frozenset({Capability.TRANSCRIBE}))
    plan = planner([whole]).plan(wish("one", capability=Capability.STREAM_TRANSCRIBE))

    assert names(plan) == ["a:one"]


def test_a_plan_is_no_longer_than_allowed() -> None:
    """The number of candidates bounds the time of the worst case."""
    cards = [card(f"p{n}:m") for n in range(9)]

    assert len(names(planner(cards, policy=Policy(max_candidates=3)).plan(wish()))) == 3


@pytest.mark.parametrize(
    ("cards", "wanted", "kind"),
    [
        (
            [card("a:one", max_seconds=5.0), card("b:one", max_seconds=9.0)],
            {"seconds": 10.0},
            TooLongError,
        ),
        ([card("a:one", max_bytes=5)], {"bytes": 10}, TooLargeError),
        ([card("a:one", locales=frozenset({"th"}))], {}, UnsupportedOptionError),
        ([card("a:one")], {"allowed_models": ("x",)}, ForbiddenError),
    ],
    ids=["long", "large", "locale", "team"],
)
def test_an_empty_plan_is_refused_with_what_fits_best(
    cards: list[ModelCard], wanted: dict[str, object], kind: type[Exception]
) -> None:
    """The caller can tell what to change."""
    assert type(refusal(planner(cards).plan(wish("one", **wanted)))) is kind


def test_too_long_for_all_names_the_largest_cap() -> None:
    """The caller learns how much would have been taken."""
    cards = [card("a:one", max_seconds=5.0), card("b:one", max_seconds=9.0)]
    error = refusal(planner(cards).plan(wish("one", seconds=10.0)))

    assert isinstance(error, TooLongError)
    assert error.limit_seconds == 9.0


def test_an_open_breaker_makes_the_refusal_a_passing_one() -> None:
    """The caller is told to come back."""
    error = refusal(planner(ABC, seen=Seen(open={"a:one"})).plan(wish("one")))

    assert isinstance(error, NoCandidateError)
    assert error.temporary


def test_who_asked_to_be_left_alone_is_busy_and_not_broken() -> None:
    """The caller is told for how long; one that is broken besides makes it a failure."""
    asleep = Seen(open={"a:one"}, pauses={"a:one": 7.0})
    busy = refusal(planner(ABC, seen=asleep).plan(wish("one")))
    both = Seen(open={"a:one", "b:two"}, pauses={"a:one": 7.0})
    chains = {"best": ("a:one", "b:two")}
    broken = refusal(planner(ABC, chains=chains, seen=both).plan(wish("best")))

    assert isinstance(busy, SaturatedError)
    assert busy.retry_after == 7.0
    assert not isinstance(broken, SaturatedError)


@given(
    chain=st.lists(st.sampled_from(["a:one", "b:two", "c:three", "x:gone"]), min_size=1),
    broken=st.sets(st.sampled_from(["a:one", "b:two", "c:three"])),
)
def test_every_name_of_a_chain_is_either_asked_or_left_out(
    chain: list[str], broken: set[str]
) -> None:
    """Nobody is lost, nobody is asked twice, and the order is the chain's."""
    plan = planner(ABC, chains={"best": tuple(chain)}, seen=Seen(open=broken)).plan(wish("best"))
    unique = list(dict.fromkeys(chain))

    assert names(plan) == [name for name in unique if name not in broken | {"x:gone"}]
    assert {*names(plan), *reasons(plan)} == set(unique)


def test_a_provider_means_its_best_fitting_model() -> None:
    """Of a provider named without a model one candidate comes, the best for tier and language."""
    cards = [
        card("a:cheap", quality=0.2, tiers=frozenset({Tier.LOW})),
        card("a:thai", quality=0.9, locales=frozenset({"th"})),
        card("a:good", quality=0.8),
        card("b:other"),
    ]
    found = planner(cards).plan(wish(None, provider="a"))

    assert (names(found), found.candidates[0].place) == (["a:good"], Place.REQUESTED)


def test_the_chain_of_the_request_comes_before_the_deployments() -> None:
    """Requested, preferred, the request's chain, then the deployment's; each provider once."""
    cards = [card(f"{name}:one") for name in "abcde"]
    policy = Policy(tiers={"medium": TierPolicy(fallback_chain=("d", "e"))})
    own = TierPolicy(provider_preference=("b",), fallback_chain=("c", "d"))
    found = planner(cards, policy=policy).plan(wish(None, provider="a", overlays=(own,)))

    assert names(found) == ["a:one", "b:one", "c:one", "d:one", "e:one"]


def test_wanted_features_rank_and_never_exclude() -> None:
    """Who has the words comes first; who has not is still asked when all else fails."""
    plain = card("a:plain", features=frozenset({Feature.AUTO_LANGUAGE}), quality=0.9)
    timed = card("b:timed", quality=0.1)
    found = planner([plain, timed]).plan(wish(None, wanted=frozenset({Feature.WORD_TIMESTAMPS})))

    assert names(found) == ["b:timed", "a:plain"]


def test_a_model_of_the_region_comes_before_one_of_another() -> None:
    """`en-IN` is heard best by who lists it; who lists only en-US comes behind who lists en."""
    cards = [
        card("a:american", locales=frozenset({"en-US"}), quality=0.9),
        card("b:any", locales=frozenset({"en"}), quality=0.5),
        card("c:indian", locales=frozenset({"en-IN", "hi-IN"}), quality=0.4),
    ]
    found = planner(cards).plan(wish(None, language="en-IN"))

    assert names(found) == ["b:any", "c:indian", "a:american"]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (TierPolicy(max_latency=1.0), "takes longer than the tier's 1 seconds"),
        (TierPolicy(max_price=0.01), "costs more than the tier's 0.01 a minute"),
    ],
)
def test_caps_hold_for_every_place(rules: TierPolicy, reason: str) -> None:
    """Also for the model that the caller names, and observed latency counts before the card's."""
    slow = card("a:slow", latency=0.1, price=0.02)
    seen = Seen(latencies={"a:slow": 3.0})
    found = planner([slow, card("b:fine", latency=0.1)], seen=seen).plan(
        wish("a:slow", overlays=(rules,))
    )

    assert [one.reason for one in found.excluded] == [reason]


def test_a_reviser_borrows_ears() -> None:
    """It comes first, and behind it those who hear; alone it cannot serve."""
    deaf = card("claude:one", capabilities=frozenset({Capability.REVISE_TRANSCRIPT}))
    ears = [card("a:one", quality=0.9), card("b:one", quality=0.2)]
    found = planner([deaf, *ears]).plan(wish(None, provider="claude"))
    alone = planner([deaf]).plan(wish(None, provider="claude"))

    assert names(found) == ["claude:one", "a:one", "b:one"]
    assert (names(alone), "reasons over" in alone.excluded[0].reason) == ([], True)


def test_a_reviser_is_no_fallback() -> None:
    """In the middle of a chain there would be nothing to reason over."""
    deaf = card("claude:one", capabilities=frozenset({Capability.REVISE_TRANSCRIPT}))
    own = TierPolicy(fallback_chain=("claude", "b"))
    cards = [card("a:one"), deaf, card("b:one")]
    found = planner(cards).plan(wish(None, provider="a", overlays=(own,)))

    assert names(found) == ["a:one", "b:one"]


def test_an_ensemble_has_the_first_choice_and_those_that_fit() -> None:
    """Members that do not fit are left out; with one left there is no ensemble."""
    rules = TierPolicy(ensemble=("b", "thai", "a:one"))
    cards = [card("a:one"), card("b:one"), card("thai:one", locales=frozenset({"th"}))]
    found = planner(cards).plan(wish("a:one", overlays=(rules,)))
    lonely = planner(cards[::2]).plan(wish("a:one", overlays=(rules,)))

    assert [one.card.name for one in found.ensemble] == ["a:one", "b:one"]
    assert lonely.ensemble == ()


def test_the_ensemble_of_a_reviser_begins_with_who_hears_first() -> None:
    """What it reasons over is voted by the preferred model and the others, as without it."""
    deaf = card("claude:one", capabilities=frozenset({Capability.REVISE_TRANSCRIPT}))
    rules = TierPolicy(provider_preference=("a",), ensemble=("b", "claude"))
    cards = [deaf, card("a:one"), card("b:one")]
    found = planner(cards).plan(wish("claude:one", overlays=(rules,)))

    assert [one.card.name for one in found.ensemble] == ["a:one", "b:one"]


def test_auto_language_takes_who_knows_one_of_those_allowed() -> None:
    """A model that detects, but knows none of them, is left out."""
    cards = [
        card("a:one", locales=frozenset({"fr"})),
        card("b:one", locales=frozenset({"hi", "fr"})),
    ]
    found = planner(cards).plan(wish(None, language=None, allowed_languages=("en", "hi")))

    assert (names(found), found.excluded[0].reason) == (
        ["b:one"],
        "knows none of the languages en, hi",
    )


def test_a_model_that_must_be_told_is_marked_where_somebody_can_tell() -> None:
    """The gateway then identifies the language first."""
    writes = frozenset({Capability.TRANSCRIBE})
    mono = card("a:mono", features=frozenset[Feature](), capabilities=writes)
    ear = card("b:ear", capabilities=frozenset({Capability.IDENTIFY_LANGUAGE}))
    found = planner([mono, ear]).plan(wish(None, language=None))

    assert [(one.card.name, one.needs_language) for one in found.candidates] == [("a:mono", True)]


def test_a_model_that_must_be_told_may_tell_others_and_itself() -> None:
    """One that listens, has to know the language, and identifies it in a call of its own."""
    both = card("a:both", features=frozenset[Feature]())
    found = planner([both]).plan(wish(None, language=None, allowed_languages=("th", "en")))

    assert [(one.card.name, one.needs_language) for one in found.candidates] == [("a:both", True)]


def test_a_member_of_an_ensemble_that_must_be_told_is_marked_too() -> None:
    """As it is where it stands in a chain."""
    mono = card("b:mono", features=frozenset[Feature]())
    rules = TierPolicy(ensemble=("b",))
    found = planner([card("a:one"), mono]).plan(wish("a:one", language=None, overlays=(rules,)))

    assert [one.needs_language for one in found.ensemble] == [False, True]


def test_of_a_provider_whose_best_model_cannot_the_next_one_is_asked() -> None:
    """Also where the best one was asked for by name, and left out, before."""
    cards = [card("a:one", quality=1.0, max_seconds=1.0), card("a:two")]
    rules = TierPolicy(fallback_chain=("a",))
    plan = planner(cards).plan(wish("a:one", seconds=2.0, overlays=(rules,)))

    assert names(plan) == ["a:two"]
    assert list(reasons(plan)) == ["a:one"]


def test_one_candidate_at_most_is_one_that_hears() -> None:
    """A model without ears does not take the only place."""
    deaf = card("d:one", capabilities=frozenset({Capability.REVISE_TRANSCRIPT}))
    plan = planner([deaf, *ABC], policy=Policy(max_candidates=1)).plan(wish("d:one"))

    assert names(plan) == ["d:one", "a:one"]


def test_caps_of_time_and_of_size_are_both_caps() -> None:
    """One model takes no such length, the other no such size: it is too much for all."""
    cards = [card("a:one", max_seconds=1.0), card("b:two", max_bytes=10)]
    plan = planner(cards).plan(wish(seconds=2.0, bytes=11))

    assert isinstance(refusal(plan), TooLongError)


def test_a_helper_is_nobody_that_the_tier_names() -> None:
    """Who listens is preferred; who translates is paid by token, beyond any price of minutes."""
    chat = card("c:chat", capabilities=frozenset({Capability.CHAT}), price=5.0)
    speech = card("a:one", capabilities=frozenset({Capability.TRANSCRIBE}))
    rules = TierPolicy(provider_preference=("a",), max_price=0.1)
    helping = Wish(capability=Capability.CHAT, overlays=(rules,))

    assert names(planner([speech, chat]).plan(helping)) == ["c:chat"]


def test_who_is_slow_just_now_may_be_asked_later() -> None:
    """By its card it is quick enough, so that the caller is told to try again."""
    rules = TierPolicy(max_latency=2.0)
    seen = Seen(latencies={"a:one": 9.0})
    plan = planner([card("a:one", latency=1.0)], seen=seen).plan(wish(overlays=(rules,)))
    error = refusal(plan)

    assert isinstance(error, NoCandidateError)
    assert error.temporary


def test_a_recording_is_played_to_a_live_listener_only_at_a_pinch() -> None:
    """It would be heard at some times its speed: whoever takes it whole comes first, however good."""
    live = card("a:live", capabilities=frozenset({Capability.LIVE_TRANSCRIBE}), quality=1.0)
    whole = card("a:whole", capabilities=frozenset({Capability.TRANSCRIBE}), quality=0.1)
    streams = wish(None, provider="a", capability=Capability.STREAM_TRANSCRIBE)
    both = planner([live, whole]).plan(streams)
    alone = planner([live]).plan(replace(streams, seconds=601.0))

    assert names(both) == ["a:whole"]
    assert (names(alone), alone.excluded[0].max_seconds) == ([], 600.0)


REPLICAS = [card(f"v:q@{n}", replica_of="q") for n in range(1, 9)]
POOL = Model(pool=("a:one", "b:two", "c:three"))


def test_a_pool_is_asked_from_the_least_busy_on() -> None:
    """And the plan says how its members stood."""
    seen = Seen(busy={"a:one": 2, "b:two": 1, "c:three": 3})
    plan = planner(ABC, chains={"all": POOL}, seen=seen).plan(wish("all"))

    assert names(plan) == ["b:two", "a:one", "c:three"]
    assert [one.outstanding for one in plan.members] == [1, 2, 3]


def test_observed_latency_counts_in_a_pool_by_peak_ewma() -> None:
    """Where there is none yet, the card's."""
    pool = Model(pool=POOL.pool, balance="peak-ewma")
    seen = Seen(busy={"b:two": 3}, latencies={"a:one": 9.0, "b:two": 0.1})
    plan = planner(ABC, chains={"all": pool}, seen=seen).plan(wish("all"))

    assert names(plan) == ["b:two", "c:three", "a:one"]


def test_members_that_cannot_are_left_out_and_the_full_go_last() -> None:
    """Who is full now may have room when its turn comes."""
    seen = Seen(open={"a:one"}, full={"b:two"}, busy={"c:three": 99})
    plan = planner(ABC, chains={"all": POOL}, seen=seen).plan(wish("all"))

    assert (names(plan), list(reasons(plan))) == (["c:three", "b:two"], ["a:one"])


def test_a_conversation_comes_back_unless_it_must_not() -> None:
    """As its home is busy, it stays; when the pool has no affinity, the least busy is first."""
    asked = wish("all", affinity=b"once upon a time")
    first = names(planner(ABC, chains={"all": POOL}).plan(asked))[0]
    busy = Seen(busy={one.name: 4 if one.name == first else 3 for one in ABC})
    lone = Model(pool=POOL.pool, affinity=False)
    found = planner(ABC, chains={"all": POOL}, seen=busy).plan(asked)

    assert (names(found)[0], found.members[0].is_home) == (first, True)
    assert names(planner(ABC, chains={"all": lone}, seen=busy).plan(asked))[2] == first


@pytest.mark.parametrize("model", ["q", "v:q", "public", "chained", "one"])
def test_replicas_share_the_load_of_their_model(model: str) -> None:
    """Bare, with the provider, in a pool, in a chain, and as a provider's model in a tier."""
    chains = {"public": Model(pool=("v:q",)), "chained": Model(chain=("v:q",))}
    tier = TierPolicy(provider_preference=("v",))
    cards = [*REPLICAS[:3], card("a:one", max_bytes=1)]
    made = planner(
        cards,
        chains=chains,
        policy=Policy(tiers={"medium": tier}),
        seen=Seen(busy={"v:q@1": 2, "v:q@2": 1}),
    )

    assert names(made.plan(wish(model, bytes=2))) == ["v:q@3", "v:q@2", "v:q@1"]


def test_a_replica_may_still_be_named() -> None:
    """To see what is wrong with that one."""
    assert names(planner(REPLICAS).plan(wish("v:q@5"))) == ["v:q@5"]


def test_ranked_replicas_are_one_place() -> None:
    """Others are reached behind them."""
    best = [evolve(one, quality=1.0) for one in REPLICAS]
    plan = planner([*ABC, *best], policy=Policy(max_candidates=3)).plan(wish())

    assert [name[0] for name in names(plan)] == ["v", "v", "v", "a", "b"]


def test_a_large_pool_leaves_room_for_its_fallbacks() -> None:
    """It takes one place, and so many of its members are asked."""
    chains = {"best": Model(pool=("v:q",), chain=("a:one", "b:two", "c:three"))}
    plan = planner([*REPLICAS, *ABC], chains=chains, policy=Policy(max_candidates=4)).plan(
        wish("best")
    )

    assert [one.place for one in plan.candidates] == [Place.REQUESTED] * 4 + [Place.FALLBACK] * 3
    assert names(plan)[4:] == ["a:one", "b:two", "c:three"]


@pytest.mark.parametrize("allowed", ["q", "v:q", "v", "public"])
def test_who_may_use_a_model_may_use_its_replicas(allowed: str) -> None:
    """By whichever of its names it is allowed."""
    made = planner(REPLICAS[:2], chains={"public": Model(pool=("v:q",))})

    assert len(names(made.plan(wish("public", allowed_models=(allowed,))))) == 2


def test_nobody_is_asked_twice_for_standing_in_pool_and_chain() -> None:
    """A name of the pool that the chain has too was tried already."""
    chains = {"all": Model(pool=("a:one", "b:two"), chain=("b:two", "c:three", "a:one"))}
    plan = planner(ABC, chains=chains).plan(wish("all"))

    assert (sorted(names(plan)[:2]), names(plan)[2:]) == (["a:one", "b:two"], ["c:three"])


def chat(**more: Any) -> Wish:
    return Wish(capability=Capability.CHAT, **more)


def test_a_prompt_goes_to_who_has_the_context_for_it() -> None:
    """The small one is left out, in words; at the very bound it fits."""
    small, large = card("a:one", context_tokens=100), card("b:one", context_tokens=1000)
    made = planner([small, large])
    found = made.plan(chat(model="one", tokens=80, output_tokens=30))

    assert names(made.plan(chat(model="one", tokens=80, output_tokens=20)))[0] == "a:one"
    assert names(found) == ["b:one"]
    assert reasons(found) == {"a:one": "answers with at most 20 tokens here, and 30 are asked for"}
    assert (found.excluded[0].fault, found.excluded[0].max_tokens) == (Fault.REQUEST, 20)


@pytest.mark.parametrize(
    ("wanted", "said", "param"),
    [
        ({"tokens": 900}, "needs at least 900 tokens, prompt and answer together", "messages"),
        ({"tokens": 800, "output_tokens": 1}, "largest context here is 800", "messages"),
        ({"tokens": 700, "output_tokens": 200}, "with this prompt 100 is the most", "max_tokens"),
        ({"output_tokens": 600}, "asks for an answer of 600 tokens", "max_tokens"),
    ],
)
def test_too_many_tokens_for_all_says_how_many_and_what_to_do(
    wanted: dict[str, int], said: str, param: str
) -> None:
    """The largest of the bounds is named, and the field that would have to be smaller."""
    cards = [
        card("a:one", context_tokens=100),
        card("b:one", context_tokens=800, max_output_tokens=500),
    ]
    error = refusal(planner(cards).plan(chat(model="one", **wanted)))

    assert isinstance(error, ContextLengthError)
    assert (said in str(error), error.param) == (True, param)


def test_without_bounds_on_its_card_a_model_takes_any_prompt() -> None:
    """Its own server may know better."""
    assert names(planner([card("a:one")]).plan(chat(model="one", tokens=10**7))) == ["a:one"]
