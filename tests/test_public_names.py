"""The plugin API by name: a name that goes breaks strangers, a name that comes is a promise."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import junctor.core

ROOT = Path(junctor.core.__path__[0])

PUBLIC: dict[str, dict[str, str]] = {
    "attempts": {
        "Attempt": (
            "provider model capability outcome seconds first_item_seconds audio_seconds "
            "is_fallback is_ok at finished"
        ),
    },
    "cards": {
        "CHAT_FEATURES": "",
        "Capability": (
            "TRANSCRIBE STREAM_TRANSCRIBE LIVE_TRANSCRIBE TRANSCRIBE_WINDOWS REVISE_TRANSCRIPT "
            "IDENTIFY_LANGUAGE ALIGN CHAT GENERATE_VIDEO"
        ),
        "Feature": (
            "WORD_TIMESTAMPS SEGMENT_TIMESTAMPS AUTO_LANGUAGE DIARIZATION TRANSLATION PROMPT "
            "TOOLS STRUCTURED_OUTPUT IMAGES AUDIO LOGPROBS SEVERAL_ANSWERS"
        ),
        "ModelCard": (
            "provider id capabilities summary locales features media_types max_bytes "
            "max_seconds window_seconds window_batch quality price prompt_price output_price "
            "context_tokens max_output_tokens answers_as replica_of latency tiers price_of name shared_id "
            "shared_name"
        ),
        "Tier": "LOW MEDIUM HIGH",
    },
    "errors": {
        "AllCandidatesFailedError": "",
        "AuthenticationError": "",
        "BodyTooLargeError": "param",
        "ClientGoneError": "",
        "ConcurrencyLimitedError": "retry_after",
        "ConfigError": "",
        "ContextLengthError": "",
        "DeadlineExceededError": "",
        "ForbiddenError": "",
        "InsufficientBalanceError": "",
        "InternalError": "",
        "InvalidRequestError": "",
        "JunctorError": "",
        "MediaError": "param",
        "MethodNotAllowedError": "",
        "NoCandidateError": "",
        "NotConfiguredError": "",
        "NotFoundError": "",
        "OverloadedError": "retry_after",
        "PictureError": "",
        "PluginError": "",
        "ProviderAnswerError": "retryable",
        "ProviderAuthError": "",
        "ProviderBusyError": "",
        "ProviderContextError": "",
        "ProviderError": "retryable",
        "ProviderQuotaError": "",
        "ProviderRateLimitedError": "retryable",
        "ProviderRejectedError": "",
        "ProviderRestingError": "",
        "ProviderTimeoutError": "retryable",
        "ProviderUnavailableError": "retryable",
        "RateLimitedError": "",
        "RequestError": "",
        "SaturatedError": "",
        "TooLargeError": "param",
        "TooLongError": "param",
        "UnknownModelError": "param",
        "UnsupportedOptionError": "",
    },
    "hooks": {
        "PROJECT": "",
        "SPECS": "",
        "hookimpl": "",
        "hookspec": "",
        "junctor_attempt": "",
        "junctor_commands": "",
        "junctor_plan": "",
        "junctor_providers": "",
        "junctor_routers": "",
        "junctor_transcript": "",
    },
    "plans": {
        "Candidate": "card place needs_language",
        "Choice": "model provider tier wanted rules",
        "Exclusion": (
            "model reason fault max_seconds max_bytes retry_after max_tokens needed_tokens is_answer_long"
        ),
        "NO_RULES": "",
        "Fault": "REQUEST TEAM SERVER TEMPORARY",
        "Place": "REQUESTED FALLBACK PREFERRED TIER_CHAIN ENSEMBLE EARS RANKED",
        "Plan": "candidates excluded ensemble members is_hedged",
        "Wish": (
            "capability model provider tier language allowed_languages features wanted bytes "
            "seconds tokens output_tokens affinity team allowed_models overlays"
        ),
    },
    "providers": {
        "Aligner": "align",
        "ChatModel": "chat stream_chat",
        "LanguageIdentifier": "identify_language",
        "LiveTranscriber": "live_transcribe",
        "PROTOCOLS": "",
        "Provider": "name models start close",
        "StreamTranscriber": "stream_transcribe",
        "Transcriber": "transcribe",
        "TranscriptReviser": "revise",
        "VideoGenerator": "generate_video",
        "WindowTranscriber": "transcribe_windows",
    },
    "requests": {
        "AlignRequest": "audio words language model",
        "ChatReply": "body",
        "ChatRequest": "body model wants_usage at",
        "Identification": "language confidence",
        "IdentifyRequest": "audio model allowed",
        "LiveRequest": "model language allowed_languages word_timestamps diarization rolling",
        "ReviseRequest": "transcript model language",
        "Rolling": "interval least window",
        "Task": "TRANSCRIBE TRANSLATE",
        "TranscribeRequest": (
            "audio model task language prompt temperature word_timestamps segment_timestamps "
            "diarization allowed_languages"
        ),
        "VideoProgress": "stage share step steps",
        "VideoRequest": "image prompt seconds width height rate seed target key model",
        "VideoStage": "LOADING PREPARING GENERATING DECODING ENCODING",
        "Window": "pcm language allowed_languages word_timestamps is_final",
        "WindowsRequest": "windows model",
    },
    "transcripts": {
        "Alignment": "words confidence",
        "LiveEvent": "",
        "LiveFinal": "text start end words language confidence timing",
        "LivePartial": "text language stable timing",
        "LiveReady": "",
        "Segment": (
            "text start end words speaker avg_logprob no_speech_prob compression_ratio "
            "temperature tokens"
        ),
        "Timing": "at queued decoding working",
        "Transcript": "text language language_confidence confidence segments words is_empty",
        "TranscriptDelta": "text segment",
        "TranscriptEvent": "",
        "WindowTranscript": "text pieces words language confidence seconds",
        "Word": "text start end confidence speaker",
        "in_one_piece": "",
    },
    "testing.alignment": {
        "AlignmentConformance": "unsaid said",
    },
    "testing.basics": {
        "BasicConformance": (
            "patience prompt head_start language max_lag import_seconds loop_scope module provider "
            "clip started stopped"
        ),
        "HEAVY": "",
    },
    "testing.clips": {
        "clip_of": "",
        "noise_clip": "",
        "silent_clip": "",
        "tone_clip": "",
        "undecodable_clip": "",
    },
    "testing.conformance": {
        "ProviderConformance": "burst longest long_clip",
    },
    "testing.fakes": {
        "Call": "capability request outcome",
        "Fail": "error items gap",
        "FakeTranscriber": (
            "name running requests models start close called settled transcribe "
            "stream_transcribe transcribe_windows align identify_language chat stream_chat "
            "generate_video"
        ),
        "Hang": "items",
        "Outcome": "",
        "Request": "",
        "Say": "text language gap after",
        "Step": "",
        "fake_card": "",
        "transcript_of": "",
    },
    "testing.lag": {
        "LoopLag": "",
    },
    "testing.live": {
        "LiveConformance": "",
    },
    "testing.pictures": {
        "picture_of": "",
    },
    "testing.plugin": {
        "fake_transcriber": "",
        "loop_lag": "",
    },
    "testing.revision": {
        "RevisionConformance": "draft long_draft",
    },
    "testing.streams": {
        "EventStream": "aclose",
        "LiveProvider": "live_transcribe",
        "LiveStream": "aclose",
        "StreamingProvider": "stream_transcribe",
    },
    "testing.video": {
        "VideoConformance": "scene",
    },
    "testing.windows": {
        "WindowsConformance": "window",
    },
}
"""Module below `junctor.core` → public name → its public members."""


def defined(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement gives, but private ones and tests."""
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            names = [name]
        case ast.Assign(targets=targets):
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            names = [name]
        case _:
            names = []
    yield from (name for name in names if not name.startswith(("_", "test_", "pytestmark")))


def public_names(module: str) -> dict[str, set[str]]:
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8"))
    found: dict[str, set[str]] = {}
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) else []
        for name in defined(node):
            found[name] = {one for member in members for one in defined(member)}
    return found


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_pinned(module: str) -> None:
    """Whoever changes the table writes a changelog fragment: `breaking`, or `feature`."""
    pinned = {name: set(members.split()) for name, members in PUBLIC[module].items()}

    assert public_names(module) == pinned


def test_every_module_for_tests_is_pinned() -> None:
    """A new module of the kit is public too."""
    modules = {f"testing.{path.stem}" for path in (ROOT / "testing").glob("[!_]*.py")}

    assert {module for module in PUBLIC if module.startswith("testing.")} == modules
