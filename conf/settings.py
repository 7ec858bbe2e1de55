"""
Every setting, its type, its default and one sentence about it.

The tree is frozen: a reload builds another one. Times are seconds, sizes are bytes.
`docs/settings.md` is written from this module by `junctor.conf.reference`, and a test compares
the two.
"""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(gt=0, le=1000)]
Priority = Annotated[int, Meta(ge=-1000, le=1000)]
Prefix = Annotated[str, Meta(pattern="^[a-z0-9]{8}$")]

SECRET_BYTES = 32
"""Shortest key of HS256: as long as its hash (RFC 7518, section 3.2)."""
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+")
"""As browsers write it (RFC 6454, section 6.1)."""
_PUBLIC_URL = re.compile(r"https?://[\w.:\[\]-]+(?:/[\w.~-]+)*", re.ASCII)


class Secret:
    """A string that never shows itself: not in `repr`, `str`, logs or `config show`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself; only where it goes over the wire."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret('***')" if self._value else "Secret('')"

    __str__ = __repr__


class Base(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all sections share: frozen, by keyword, and a misspelled key is an error."""


class Server(Base, frozen=True, kw_only=True):
    """`[server]`: where it listens and how it stops."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one."""
    shutdown_grace: Seconds = 30.0
    """Time that requests under way get to finish at shutdown."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call it from a browser, as `https://app.example.com`; `*` for any."""
    public_url: str = ""
    """How clients reach it, as `https://speech.example.com`; empty for what each request says."""

    def __post_init__(self) -> None:
        if self.public_url and _PUBLIC_URL.fullmatch(self.public_url) is None:
            raise ValueError(
                "`public_url` has to be a URL such as `https://speech.example.com` or "
                "`http://10.0.0.7:8080/speech`: no name, no query, no slash at the end"
            )
        for origin in self.cors_origins:
            if origin != "*" and _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    "`cors_origins` has to be of origins such as `https://app.example.com` or "
                    "`http://127.0.0.1:3000`: no path, no capitals, no slash at the end"
                )


class Storage(Base, frozen=True, kw_only=True):
    """`[storage]`: where state lives."""

    data_dir: str = "~/.local/share/junctor"
    """Folder of the database, the journal and job files; `JUNCTOR_DATA_DIR` overrides it."""
    database_url: str = ""
    """SQLAlchemy URL (async driver); empty for SQLite in `data_dir`."""
    shared_state_url: str = ""
    """Valkey/Redis URL for limits and concurrency; not built yet, anything but empty is refused."""
    key_cache_size: Count = 10_000
    """API keys kept in memory at most."""
    key_cache_ttl: Seconds = 60.0
    """Time after which a cached key is looked up again; a revocation is seen by then."""
    usage_batch: Count = 500
    """Ledger entries folded into the database at once, at most."""
    usage_interval: Seconds = 1.0
    """Time between two folds."""


class Limits(Base, frozen=True, kw_only=True):
    """`[limits]`: the bounds of every request."""

    max_upload_bytes: Count = 25 * 1024 * 1024
    """Largest request body."""
    max_audio_seconds: Seconds = 3600.0
    """Longest recording, counted while decoding."""
    request_timeout: Seconds = 300.0
    """The one deadline of a request, from admission to the last byte of its answer."""
    job_timeout: Seconds = 3600.0
    """The deadline of one run of a durable job."""
    max_concurrent_requests: Count = 1000
    """Requests under way in this process; more are answered 503."""
    max_buffered_bytes: Count = 1024 * 1024 * 1024
    """Uploads held in memory at the same time, all requests together; more are answered 503."""
    max_concurrent_decodes: Count = 4
    """Recordings decoded at the same time."""


class Weights(Base, frozen=True, kw_only=True):
    """`[policy.tiers.<tier>.weights]`: how much each quality of a candidate counts."""

    quality: Share = 0.5
    """Weight of the card's quality."""
    price: Share = 0.25
    """Weight of a low price."""
    latency: Share = 0.25
    """Weight of a low observed latency."""


class TierPolicy(Base, frozen=True, kw_only=True):
    """`[policy.tiers.<tier>]` and `[teams.<name>.tiers.<tier>]`: what a tier prefers."""

    language_mode: Literal["fixed", "auto"] | None = None
    """Whether the language is given or found; a request's own word counts before it."""
    language: str | None = None
    """BCP-47 language when the request gives none."""
    allowed_languages: tuple[str, ...] = ()
    """Languages that may be spoken or found; empty for any."""
    provider_preference: tuple[str, ...] = ()
    """Providers (or `provider:model`) tried before the others; of a provider, its best model."""
    fallback_chain: tuple[str, ...] = ()
    """Providers (or `provider:model`) tried after the preferred ones."""
    ensemble: tuple[str, ...] = ()
    """Providers (or `provider:model`) asked at once with the first choice; their words are voted."""
    hedge: bool | None = None
    """Ask the second candidate too when the first is later than its 95th percentile."""
    max_price: Annotated[float, Meta(ge=0)] | None = None
    """Dearest candidate allowed, US dollars per minute of audio."""
    max_latency: Seconds | None = None
    """Slowest candidate allowed, by what was observed or else its card, seconds."""
    weights: Weights | None = None
    """How the candidates are ranked when nothing is preferred."""


class KeyLimits(Base, frozen=True, kw_only=True):
    """`[teams.<name>.keys.<prefix>]`: what the key with this prefix may do, instead of the others."""

    tokens_per_day: Count | None = None
    """Its tokens per day (UTC), instead of the team's `key_tokens_per_day`."""


class Team(Base, frozen=True, kw_only=True):
    """`[teams.<name>]` and `[team_defaults]`: what a team may do."""

    requests_per_minute: Count = 600
    """Requests admitted in any 60 seconds."""
    concurrency: Count = 64
    """Requests under way at the same time."""
    audio_seconds_per_day: Seconds | None = None
    """Seconds of audio served per day (UTC); none given: no bound."""
    video_seconds_per_day: Seconds | None = None
    """Seconds of video made per day (UTC), those of jobs that wait included; none: no bound."""
    tokens_per_day: Count | None = None
    """Tokens of chat per day (UTC), prompts and answers of all keys together; none: no bound."""
    key_tokens_per_day: Count | None = None
    """Tokens of chat per day (UTC) of each key by itself; none given: no bound."""
    keys: dict[Prefix, KeyLimits] = field(default_factory=dict)
    """Keys with limits of their own, by prefix."""
    allowed_models: tuple[str, ...] = ()
    """Model names, providers or `provider:model` that the team may use; empty for all."""
    callback_secret: Secret | None = None
    """Signs the deliveries of this team's jobs, instead of `callbacks.secret`."""
    job_priority: Priority = 0
    """Of its jobs, -1000 to 1000: within a queue the larger goes first, then the older."""
    tiers: dict[Literal["low", "medium", "high"], TierPolicy] = field(default_factory=dict)
    """What its tiers prefer, over what `[policy.tiers]` says."""


class Loader(Base, frozen=True, kw_only=True):
    """`[loader]`: which plugins are loaded."""

    allow: tuple[str, ...] | None = None
    """Only these plugins, by entry-point name; none given: all that are installed."""
    deny: tuple[str, ...] = ()
    """Not these plugins."""
    strict: bool = False
    """Refuse to start when a plugin fails, instead of serving without it."""
    start_timeout: Seconds = 120.0
    """Time that one provider gets to start; then it is left out."""
    close_timeout: Seconds = 10.0
    """Time that one provider gets to close; then it is abandoned."""


class Model(Base, frozen=True, kw_only=True):
    """`[models."<name>"]`: a public model name and the candidates behind it; a pool or a chain."""

    pool: tuple[str, ...] = ()
    """`provider:model` names that share the load; all are tried before `chain`."""
    chain: tuple[str, ...] = ()
    """`provider:model` names, tried one after the other; without a pool the first is the choice."""
    balance: Literal["least-outstanding", "peak-ewma", "weighted"] = "least-outstanding"
    """Who of a pool is asked first: the least busy, the least busy and quickest, or by lot."""
    weights: dict[str, Weight] = field(default_factory=dict)
    """How much more than others a name of `pool` carries; 1 for those that are not listed."""
    affinity: bool = True
    """Bring requests that begin alike to the same member of a pool, whose cache knows them."""
    description: str = ""
    """Shown by `/v1/models`."""

    def __post_init__(self) -> None:
        if not self.pool and not self.chain:
            raise ValueError("Expected `pool` or `chain` with at least one 'provider:model'")
        strangers = sorted(set(self.weights) - set(self.pool))
        if strangers:
            raise ValueError(
                f"`weights` may only name members of `pool`, which {strangers[0]!r} is not"
            )


class Policy(Base, frozen=True, kw_only=True):
    """`[policy]`: how a plan is made and run."""

    default_tier: Literal["low", "medium", "high"] = "medium"
    """Tier of a request that names none."""
    tiers: dict[Literal["low", "medium", "high"], TierPolicy] = field(default_factory=dict)
    """One table per tier."""
    max_candidates: Count = 5
    """Candidates in a plan at most; a pool takes one place, and so many of its members are tried."""
    attempts_per_candidate: Count = 2
    """Tries at one candidate when its error may pass by itself."""
    backoff: Seconds = 0.2
    """Pause before the second try, doubled each time, jittered; `Retry-After` overrides it."""
    max_pause: Seconds = 1.0
    """Longest pause before another try at a candidate while others wait behind it."""
    attempt_share: Share = 0.7
    """Share of the remaining time one candidate may use while others wait behind it."""
    max_attempt: Seconds = 120.0
    """Longest time for one attempt, however much remains."""


class Breaker(Base, frozen=True, kw_only=True):
    """`[breaker]`: when a failing candidate is left alone, and how many may use it at once."""

    failures: Count = 5
    """Failures in a row that open it."""
    open_for: Seconds = 15.0
    """Time until one probe request is let through, doubled with each probe that fails."""
    open_for_max: Seconds = 300.0
    """Longest time between two probes."""
    concurrency: Count = 256
    """Requests under way at one candidate; more spill over to the next."""


class Network(Base, frozen=True, kw_only=True):
    """`[network]`: where URLs that callers give may lead (`callback_url`, pictures)."""

    allowed_private: tuple[str, ...] = ()
    """Networks (CIDR) that may be reached although they are not public, such as the company's own."""
    require_https: bool = False
    """Refuse `http://`."""


class JobQueue(Base, frozen=True, kw_only=True):
    """`[jobs.queues.<name>]`: one queue of jobs."""

    concurrency: Count = 4
    """Jobs of this queue that one process works on at the same time; the same for each process."""


class Jobs(Base, frozen=True, kw_only=True):
    """`[jobs]`: durable jobs."""

    queues: dict[str, JobQueue] = field(default_factory=dict)
    """Queues by name; `default` (concurrency 4) and `video` (1) are always there."""
    work: tuple[str, ...] | None = None
    """Queues whose jobs this process does; none given: all; empty: none, they are left to `junctor
    worker`. Anything but all needs Postgres."""
    poll_interval: Seconds = 0.5
    """Time between two looks for queued jobs, once there has been a job."""
    max_attempts: Count = 5
    """Starts of a job whose process dies under it; then it has failed."""
    max_unfinished: Count = 10_000
    """Jobs of one team that are not finished; more are refused."""
    keep: Seconds = 7 * 24 * 3600.0
    """Time that a finished job, its result and its deliveries are kept."""

    def __post_init__(self) -> None:
        strangers = sorted(set(self.work or ()) - set(self.concurrencies()))
        if strangers:
            raise ValueError(f"`work` may only name queues, which {strangers[0]!r} is not")

    def concurrencies(self) -> dict[str, int]:
        """Return the concurrency of every queue, by name."""
        given = {name: queue.concurrency for name, queue in self.queues.items()}
        return {"default": 4, "video": 1, **given}


class Callbacks(Base, frozen=True, kw_only=True):
    """`[callbacks]`: how the end of a job is told to its `callback_url`."""

    secret: Secret | None = None
    """Signs every delivery; none given: one is made in the data folder (`junctor callbacks secret`)."""
    attempts: Count = 8
    """Tries of one delivery."""
    timeout: Seconds = 10.0
    """Time for one try."""
    backoff: Seconds = 5.0
    """Pause before the second try, doubled each time, jittered; a longer `Retry-After` counts."""
    backoff_max: Seconds = 3600.0
    """Longest pause between two tries."""
    concurrency: Count = 32
    """Tries under way at the same time."""
    concurrency_per_team: Count = 8
    """Tries under way for one team."""
    concurrency_per_host: Count = 4
    """Tries under way at one host."""


class Live(Base, frozen=True, kw_only=True):
    """`[live]`: speech that is written down while it is spoken."""

    open_timeout: Seconds = 10.0
    """Time until a candidate takes audio, all candidates together."""
    stall: Seconds = 20.0
    """Time in which speech brings an answer; longer than the turns of models without partials."""
    rounds: Annotated[int, Meta(ge=0)] = 6
    """Times that the candidates of a session under way are tried again when all have failed over the
    same audio: at once, then after 1, 2, 4 … 8 seconds."""
    max_replay: Annotated[float, Meta(ge=1)] = 60.0
    """Seconds of audio kept for the next candidate; a client that is further ahead has to wait."""
    max_speed: Annotated[float, Meta(ge=1)] = 4.0
    """Seconds of audio that a candidate gets in a second, when it catches up or a file is sent."""
    utterance_timeout: Seconds = 30.0
    """Time to transcribe one utterance, by a model that does not listen live."""
    start_timeout: Seconds = 10.0
    """Time that a client has for its first message."""
    idle_timeout: Seconds = 60.0
    """Time in which a client has to send something; then its session is closed."""
    send_timeout: Seconds = 20.0
    """Time that a client has to read a message; then it counts as gone."""


class ThaiAsr(Base, frozen=True, kw_only=True):
    """`[thai_asr]`: live Thai captions under `/api/thai-asr`."""

    model: str = "thai-asr"
    """Who writes them: a public name of `[models]`, or `provider:model`."""
    session_ttl: Seconds = 300.0
    """Time that a session waits for its socket."""
    max_sessions: Count = 10_000
    """Sessions that wait for their sockets; more are answered 503."""
    max_errors: Count = 100
    """Messages of one socket that make no sense; then it is closed."""


class LtxVideo(Base, frozen=True, kw_only=True):
    """`[ltx_video]`: image to video under `/api/ltx23/v1`."""

    max_image_bytes: Count = 25 * 1024 * 1024
    """Largest picture."""
    max_image_pixels: Count = 64_000_000
    """Pixels of the largest picture; it is looked at before anything is decoded."""
    fetch_timeout: Seconds = 20.0
    """Time to fetch a picture that is given by its URL."""
    retention_hours: Annotated[float, Meta(gt=0)] = 24.0
    """How long a video is kept once it is made, and its fitted picture."""
    rounds: Count = 3
    """Times that the candidates are tried when all have failed in a way that may pass."""
    pause: Seconds = 10.0
    """Pause before the second round, doubled with each."""


class Tokens(Base, frozen=True, kw_only=True):
    """`[tokens]`: JSON Web Tokens, taken beside API keys; with no secret and no key set, none are."""

    algorithms: Annotated[tuple[Literal["HS256", "RS256"], ...], Meta(min_length=1)] = (
        "HS256",
        "RS256",
    )
    """Signatures accepted; what a token itself names decides nothing."""
    secret: Secret | None = None
    """Key of HS256, 32 bytes at least; `junctor tokens issue` signs with it."""
    jwks: str = ""
    """Public keys of RS256 (a JSON Web Key Set), as JSON or as the path of a file."""
    jwks_url: str = ""
    """Where public keys of RS256 are fetched, `https:` (`http:` on this machine only)."""
    jwks_ttl: Seconds = 600.0
    """Time after which fetched keys are fetched again; the old ones count until that works."""
    issuer: str = ""
    """The `iss` that a token must have; empty for any."""
    audience: str = ""
    """The `aud` that a token must have; empty for any."""
    team_claim: Annotated[str, Meta(min_length=1)] = "team"
    """The claim that names the team."""
    leeway: Annotated[float, Meta(ge=0)] = 30.0
    """By how much the clock of an issuer may be wrong."""
    max_ttl: Seconds = 7 * 86_400.0
    """Longest time for which a token may still be good when it comes; longer ones are refused."""
    cache_size: Count = 10_000
    """Verified tokens kept in memory at most."""

    def __post_init__(self) -> None:
        secret = self.secret.reveal().encode() if self.secret else b""
        if secret and (len(secret) < SECRET_BYTES or secret.startswith(b"-----BEGIN")):
            raise ValueError(
                f"`secret` has to be {SECRET_BYTES} bytes or more that nobody can guess, "
                "and no public key"
            )
        url = urlsplit(self.jwks_url)
        is_near = url.scheme == "http" and url.hostname in {"127.0.0.1", "::1", "localhost"}
        if self.jwks_url and not (url.hostname and (url.scheme == "https" or is_near)):
            raise ValueError("`jwks_url` has to be an https: URL")


class Artefacts(Base, frozen=True, kw_only=True):
    """`[artefacts]`: uploads of jobs, results, videos and remembered answers, kept until their time."""

    retention_hours: Annotated[float, Meta(ge=0)] = 24.0
    """How long they are kept where the request does not say."""
    max_bytes: Count = 10 * 1024 * 1024 * 1024
    """Content kept at the same time, all of it in `data_dir` or the database; more is answered 503."""
    proof_ttl: Seconds = 90 * 86_400.0
    """Time for which the record of a deletion is kept: hash, size and times, no content."""


class Audit(Base, frozen=True, kw_only=True):
    """`[audit]`: who had what transcribed, in hashes alone."""

    enabled: bool = False
    """Keep a row for each transcription of the speech-to-text contract."""


class Quality(Base, frozen=True, kw_only=True):
    """`[quality]`: how far providers disagree, noted behind the answers; clients wait for none of it."""

    sample_share: Share = 0.0
    """Share of recordings that the next candidate transcribes too: it gets them, and is paid."""
    sample_concurrency: Count = 2
    """Comparisons under way at the same time, ensembles' too; what is beyond is not compared."""
    sample_seconds_max: Seconds = 120.0
    """Longest recording that is compared, an ensemble's too."""


class Telemetry(Base, frozen=True, kw_only=True):
    """`[telemetry]`: what the server tells about itself."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: console on a terminal, JSON otherwise."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line written."""
    metrics: bool = True
    """Serve `/metrics` for Prometheus."""
    otlp_endpoint: str = ""
    """OpenTelemetry collector (OTLP over HTTP); empty for no tracing."""


class Settings(Base, frozen=True, kw_only=True):
    """The whole tree."""

    server: Server = field(default_factory=Server)
    storage: Storage = field(default_factory=Storage)
    limits: Limits = field(default_factory=Limits)
    team_defaults: Team = field(default_factory=Team)
    """What a team may do that has no table of its own."""
    teams: dict[str, Team] = field(default_factory=dict)
    """`[teams.<name>]`: what one team may do, instead of `[team_defaults]`."""
    loader: Loader = field(default_factory=Loader)
    plugins: dict[str, dict[str, object]] = field(default_factory=dict)
    """`[plugins.<name>]`: each plugin's own settings, checked by the plugin itself."""
    default_model: str = "whisper-large-v3"
    """Model of a transcription that names none."""
    models: dict[str, Model] = field(default_factory=dict)
    """`[models."<name>"]`: the public model names."""
    policy: Policy = field(default_factory=Policy)
    breaker: Breaker = field(default_factory=Breaker)
    network: Network = field(default_factory=Network)
    jobs: Jobs = field(default_factory=Jobs)
    callbacks: Callbacks = field(default_factory=Callbacks)
    live: Live = field(default_factory=Live)
    thai_asr: ThaiAsr = field(default_factory=ThaiAsr)
    ltx_video: LtxVideo = field(default_factory=LtxVideo)
    tokens: Tokens = field(default_factory=Tokens)
    artefacts: Artefacts = field(default_factory=Artefacts)
    audit: Audit = field(default_factory=Audit)
    quality: Quality = field(default_factory=Quality)
    telemetry: Telemetry = field(default_factory=Telemetry)
    origins: dict[str, str] = field(default_factory=dict)
    """Not a setting: the file that each dotted key was read from, for error messages."""
