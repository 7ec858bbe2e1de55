"""From the fields of a request to what is asked of the gateway."""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import cast

import msgspec
from attrs import field, frozen

from junctor.conf.settings import TierPolicy
from junctor.contracts.speech_to_text import (
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    VENDORS,
    AccuracyLanguagePolicy,
    LanguagePolicy,
    TranscribeForm,
)
from junctor.core.audio.clip import Clip
from junctor.core.cards import Capability, Feature, Tier
from junctor.core.catalog import Catalog
from junctor.core.errors import InvalidRequestError, UnknownModelError
from junctor.core.locales import checked
from junctor.core.plans import Choice
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.tickets import Ticket
from junctor.core.tiers import POLICY, Tongue, merged, tongue
from junctor.core.visits import current_visit


@frozen(kw_only=True)
class Asked:
    """What a request asks for, checked; the audio apart."""

    choice: Choice
    tongue: Tongue
    word_timestamps: bool = False
    diarization: bool = False
    redaction: bool = False
    callback_url: str = ""
    idempotency_key: str = ""
    retention_hours: float | None = None
    metadata: dict[str, object] | None = None
    unique_id: str | None = None
    tier: Tier = field(default=Tier.MEDIUM)

    def request(self, clip: Clip) -> TranscribeRequest:
        """Return the request to write a recording down."""
        return TranscribeRequest(
            audio=clip,
            language=self.tongue.language,
            allowed_languages=() if self.tongue.language else self.tongue.allowed,
            word_timestamps=self.word_timestamps,
            diarization=self.diarization,
        )

    def live_request(self) -> LiveRequest:
        """Return the request to write speech down while it is spoken."""
        return LiveRequest(
            language=self.tongue.language,
            allowed_languages=() if self.tongue.language else self.tongue.allowed,
            word_timestamps=self.word_timestamps,
            diarization=self.diarization,
        )


def labelled(asked: Asked) -> Asked:
    """Have the request's log line say what its caller wants to find there."""
    told = {"unique_id": asked.unique_id, "metadata": asked.metadata}
    current_visit().told.update({name: one for name, one in told.items() if one is not None})
    return asked


def asked_of(form: TranscribeForm, ticket: Ticket) -> Asked:
    """
    Return what a form asks for.

    Raises:
        InvalidRequestError: a field is wrong, or two of them contradict each other; `param` names
            the field.
        UnknownModelError: there is no such model.

    """
    catalog = ticket.snapshot.catalog
    tier = Tier(form.accuracy)
    rules = _rules(form, tier, catalog)
    model, provider = _served(form, catalog)
    flags = {
        Feature.WORD_TIMESTAMPS: form.enable_word_timestamps == "true",
        Feature.DIARIZATION: form.enable_diarization == "true",
    }
    return Asked(
        choice=Choice(
            model=model,
            provider=provider,
            tier=tier,
            wanted=frozenset(feature for feature, is_wanted in flags.items() if is_wanted),
            rules=rules,
        ),
        tongue=tongue(
            mode=form.language_mode or None,
            language=checked(form.language, param="language") if form.language else None,
            own=rules,
            house=_house(ticket, tier),
        ),
        word_timestamps=flags[Feature.WORD_TIMESTAMPS],
        diarization=flags[Feature.DIARIZATION],
        redaction=form.enable_pii_redaction == "true",
        callback_url=form.callback_url,
        idempotency_key=form.idempotency_key,
        retention_hours=form.retention_hours,
        metadata=_metadata(form.metadata),
        unique_id=_printable(form.unique_id, "unique_id") or None,
        tier=tier,
    )


def _house(ticket: Ticket, tier: Tier) -> TierPolicy:
    """Return what the deployment and the team say of a tier."""
    tables = (ticket.snapshot.settings.policy.tiers, ticket.principal.limits.tiers)
    layers = (cast("Mapping[str, TierPolicy]", table).get(tier) for table in tables)
    return merged(*(layer for layer in layers if layer is not None))


def _rules(form: TranscribeForm, tier: Tier, catalog: Catalog) -> TierPolicy:
    if not form.accuracy_language_policy:
        return TierPolicy()
    try:
        policy = msgspec.json.decode(form.accuracy_language_policy, type=AccuracyLanguagePolicy)
    except (msgspec.DecodeError, UnicodeEncodeError) as exc:
        raise InvalidRequestError(
            f"{POLICY} is not understood: {exc}. Expected a JSON object with the tiers low, medium, "
            "high, each with language_mode, language, allowed_languages, provider_preference (or "
            "prefer_providers), fallback_chain.",
            param=POLICY,
        ) from exc
    for one in (policy.low, policy.medium, policy.high):
        if one is not None:
            _check_chains(one, catalog)
    own: LanguagePolicy | None = getattr(policy, tier.value)
    if own is None:
        return TierPolicy()
    return TierPolicy(
        language_mode=own.language_mode,
        language=own.language,
        allowed_languages=own.allowed_languages,
        provider_preference=own.provider_preference or own.prefer_providers,
        fallback_chain=own.fallback_chain,
    )


def _check_chains(policy: LanguagePolicy, catalog: Catalog) -> None:
    one, other = policy.provider_preference, policy.prefer_providers
    if one and other and one != other:
        raise InvalidRequestError(
            f"provider_preference ({', '.join(one)}) conflicts with prefer_providers "
            f"({', '.join(other)}). They mean the same; give one of them.",
            param=POLICY,
        )
    for key in ("provider_preference", "prefer_providers", "fallback_chain"):
        for name in getattr(policy, key):
            _check_known(name, catalog, param=POLICY, where=f"{key} of {POLICY}")


def _check_known(name: str, catalog: Catalog, *, param: str, where: str) -> None:
    """Let pass a provider, `provider:model` or public model name that may be served here."""
    if name in catalog.chains:
        return
    provider, colon, _ = name.partition(":")
    if provider not in _providers(catalog):
        raise InvalidRequestError(
            f"{where} names the unknown provider {provider[:64]!r}. Known providers: "
            f"{', '.join(sorted(_providers(catalog)))}.",
            param=param,
        )
    if colon and provider in catalog.providers and not catalog.serves(name):
        raise UnknownModelError(name, _models_of(provider, catalog))


def _providers(catalog: Catalog) -> frozenset[str]:
    return frozenset((*catalog.providers, *catalog.absences, *VENDORS))


def _models_of(provider: str, catalog: Catalog) -> list[str]:
    return [name for name, cards in catalog.shared().items() if cards[0].provider == provider]


def _served(form: TranscribeForm, catalog: Catalog) -> tuple[str | None, str | None]:
    """Return the model that is asked for, or else the provider."""
    provider, _, composite = form.provider.partition(":")
    model = form.model
    if not form.provider and not model:
        raise InvalidRequestError(
            "Neither provider nor model is given. Send one of them, or a model 'provider:model_id'.",
            param="provider",
        )
    if form.provider:
        _check_known(form.provider, catalog, param="provider", where="The field 'provider'")
    if not model:
        return (form.provider, None) if composite else (None, provider)
    if not provider:
        return _resolved(model, catalog), None
    return _agreed(form, provider, catalog), None


def _agreed(form: TranscribeForm, provider: str, catalog: Catalog) -> str:
    """Return `provider:model` where both are given and fit together."""
    is_full = form.model.startswith(f"{provider}:")
    full = form.model if is_full else f"{provider}:{form.model}"
    if form.provider not in {provider, full}:
        raise _disagreement(form)
    if catalog.serves(full):
        return full
    if not is_full and (":" in form.model or catalog.resolve(form.model)):
        raise _disagreement(form)
    if provider in catalog.providers:
        raise UnknownModelError(full, _models_of(provider, catalog))
    return full


def _resolved(model: str, catalog: Catalog) -> str:
    if not catalog.resolve(model):
        raise UnknownModelError(model, catalog.known(Capability.TRANSCRIBE))
    return model


def _disagreement(form: TranscribeForm) -> InvalidRequestError:
    return InvalidRequestError(
        f"provider {form.provider[:100]!r} conflicts with model {form.model[:100]!r}, which is not "
        "one of its models. Leave one of them out.",
        param="model",
    )


def _metadata(text: str) -> dict[str, object] | None:
    if not text:
        return None
    deepest = max(accumulate((char in "[{") - (char in "]}") for char in text))
    try:
        if deepest <= MAX_METADATA_DEPTH:
            return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass
    raise InvalidRequestError(
        f"metadata is not a JSON object of {MAX_METADATA_BYTES} characters and {MAX_METADATA_DEPTH} "
        "levels at most.",
        param="metadata",
    )


def _printable(text: str, name: str) -> str:
    if not text.isprintable():
        raise InvalidRequestError(f"{name} has characters that cannot be printed.", param=name)
    return text


def digest_parts(form: TranscribeForm, audio: str) -> Iterable[bytes]:
    """Return what makes two requests with one idempotency key the same; `audio` is a digest."""
    fields = msgspec.to_builtins(form)
    fields.pop("idempotency_key")
    yield msgspec.json.encode(fields, order="sorted")
    yield audio.encode()
