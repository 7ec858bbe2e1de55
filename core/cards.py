"""Model cards: what a provider serves, as data. Policy reads cards and nothing else."""

from enum import StrEnum

from attrs import field, frozen


class Capability(StrEnum):
    """A kind of work; each has one protocol in `junctor.core.providers`."""

    TRANSCRIBE = "transcribe"
    STREAM_TRANSCRIBE = "stream-transcribe"
    LIVE_TRANSCRIBE = "live-transcribe"
    TRANSCRIBE_WINDOWS = "transcribe-windows"
    REVISE_TRANSCRIPT = "revise-transcript"
    IDENTIFY_LANGUAGE = "identify-language"
    ALIGN = "align"
    CHAT = "chat"
    GENERATE_VIDEO = "generate-video"


class Feature(StrEnum):
    """What a model can do beyond the bare minimum of its capability."""

    WORD_TIMESTAMPS = "word-timestamps"
    SEGMENT_TIMESTAMPS = "segment-timestamps"
    AUTO_LANGUAGE = "auto-language"
    DIARIZATION = "diarization"
    TRANSLATION = "translation"
    PROMPT = "prompt"
    TOOLS = "tools"
    """Chat: calls functions that the request describes."""
    STRUCTURED_OUTPUT = "structured-output"
    """Chat: keeps to a JSON schema, or at least to JSON, where the request wants it."""
    IMAGES = "images"
    """Chat: takes pictures in messages."""
    AUDIO = "audio"
    """Chat: takes recordings in messages, or answers with sound."""
    LOGPROBS = "logprobs"
    """Chat: tells the log probabilities of its tokens."""
    SEVERAL_ANSWERS = "several-answers"
    """Chat: gives more than one answer (`n`)."""


CHAT_FEATURES = frozenset(
    {
        Feature.TRANSLATION,
        Feature.TOOLS,
        Feature.STRUCTURED_OUTPUT,
        Feature.IMAGES,
        Feature.AUDIO,
        Feature.LOGPROBS,
        Feature.SEVERAL_ANSWERS,
    }
)
"""What a chat model is taken to do of which nobody says more: it refuses by itself what it cannot."""


class Tier(StrEnum):
    """How much accuracy the caller asks for."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@frozen(kw_only=True)
class ModelCard:
    """One model of one provider. `provider:id` names it everywhere."""

    provider: str
    id: str
    """The provider's own name of the model; bare, without the provider."""
    capabilities: frozenset[Capability]
    summary: str = ""
    """One sentence for people; a tiny model says here that it is one."""
    locales: frozenset[str] | None = None
    """
    BCP-47 tags it understands; None for any.

    A tag without a region (`en`) stands for every region; one with a region also serves those who
    ask for the bare language or for a region that is not listed (`junctor.core.locales`).
    """
    features: frozenset[Feature] = frozenset()
    media_types: frozenset[str] | None = None
    """Containers it takes as they are (`audio/wav` …); None for any, since it reads samples."""
    max_bytes: int | None = None
    """Largest upload it takes, bytes."""
    max_seconds: float | None = None
    """Longest audio it takes, or longest video it makes, seconds."""
    window_seconds: float = 30.0
    """Longest window of `Capability.TRANSCRIBE_WINDOWS` and longest audio of `ALIGN`, seconds."""
    window_batch: int = 16
    """Windows it is given at once, at most."""
    quality: float = 0.5
    """0 (poor) to 1 (best known); the rank that policy's weights multiply."""
    price: float = 0.0
    """US dollars per minute of audio (speech) or video, or per million tokens of the prompt (chat)."""
    prompt_price: float | None = None
    """US dollars per million tokens of the prompt (chat), where `price` is that of audio."""
    output_price: float | None = None
    """US dollars per million tokens of the answer (chat); None: as that of the prompt."""
    context_tokens: int | None = None
    """Chat: tokens of prompt and answer together, at most; None where unknown."""
    max_output_tokens: int | None = None
    """Chat: tokens of an answer, at most; None for what the context leaves."""
    answers_as: str = ""
    """Chat: what its server calls it in answers, where that is not `id`."""
    replica_of: str | None = None
    """
    Bare id of the model of which this is one of several equal copies; None for a model by itself.

    `provider:<that id>` then means all copies, and each request goes to the one that suits it best.
    """
    latency: float = 1.0
    """Expected seconds for a short request, before anything was observed."""
    tiers: frozenset[Tier] = field(default=frozenset(Tier))
    """The accuracy tiers it is fit for."""

    def price_of(self, capability: Capability) -> float:
        """Return what work of a kind costs, US dollars: a minute, or (chat) per million tokens."""
        if capability is Capability.CHAT and self.prompt_price is not None:
            return self.prompt_price
        return self.price

    @property
    def name(self) -> str:
        """`provider:id`, the name that is unique in a deployment."""
        return f"{self.provider}:{self.id}"

    @property
    def shared_id(self) -> str:
        """The bare id by which callers mean it: of the model that it is a copy of, or its own."""
        return self.replica_of or self.id

    @property
    def shared_name(self) -> str:
        """`provider:shared_id`; the same for all replicas of a model."""
        return f"{self.provider}:{self.replica_of or self.id}"
