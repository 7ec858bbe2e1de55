"""Amazon Transcribe's models as data: one for recordings, one for live speech."""

from junctor.core.cards import Capability, Feature, ModelCard
from junctor.plugins.remote.aws.settings import NAME

RECORDED = "transcribe"
"""Model id of the job API."""
LIVE = "transcribe-streaming"
"""Model id of the WebSocket."""

FORMATS = {
    "audio/amr": "amr",
    "audio/flac": "flac",
    "audio/mp4": "mp4",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/webm": "webm",
}
"""The vendor's name of each media type."""

_BOTH = """
af-ZA am-ET ar-AE ar-SA be-BY bg-BG bn-IN bs-BA ca-ES ckb-IQ ckb-IR cs-CZ cy-WL da-DK de-CH de-DE
el-GR en-AB en-AU en-GB en-IE en-IN en-NZ en-US en-WL en-ZA es-ES es-MX es-US et-ET eu-ES fa-AF
fa-IR fi-FI fr-CA fr-FR gl-ES gu-IN he-IL hi-IN hr-HR ht-HT hu-HU hy-AM id-ID is-IS it-IT ja-JP
jv-ID ka-GE kab-DZ kk-KZ km-KH kn-IN ko-KR lg-IN lt-LT lv-LV mk-MK ml-IN mr-IN ms-MY my-MM ne-NP
nl-NL no-NO or-IN pa-IN pl-PL ps-AF pt-BR pt-PT ro-RO ru-RU si-LK sk-SK sl-SI so-SO sq-AL sr-RS
su-ID sv-SE sw-BI sw-KE sw-RW sw-TZ sw-UG ta-IN te-IN th-TH tl-PH tr-TR uk-UA uz-UZ vi-VN zh-CN
zh-HK zh-TW zu-ZA
"""
_ONLY_RECORDED = """
ab-GE ast-ES az-AZ ba-RU cy-GB et-EE ga-IE gd-GB ha-NG ky-KG mhr-RU mi-NZ mn-MN mt-MT rw-RW tt-RU
ug-CN wo-SN
"""
_FEATURES = frozenset({Feature.WORD_TIMESTAMPS, Feature.AUTO_LANGUAGE, Feature.DIARIZATION})
_FOUR_HOURS = 14_400.0

CARDS = (
    ModelCard(
        provider=NAME,
        id=RECORDED,
        capabilities=frozenset({Capability.TRANSCRIBE}),
        summary="Amazon Transcribe: a job through your own S3 bucket, with word times and speakers.",
        locales=frozenset((_BOTH + _ONLY_RECORDED).split()),
        features=_FEATURES | {Feature.SEGMENT_TIMESTAMPS},
        media_types=frozenset(FORMATS),
        max_bytes=2_000_000_000,
        max_seconds=_FOUR_HOURS,
        quality=0.8,
        price=0.024,
        latency=15.0,
    ),
    ModelCard(
        provider=NAME,
        id=LIVE,
        capabilities=frozenset({Capability.LIVE_TRANSCRIBE}),
        summary="Amazon Transcribe over its WebSocket: live speech with word times and speakers.",
        locales=frozenset(_BOTH.split()),
        features=_FEATURES,
        max_seconds=_FOUR_HOURS,
        quality=0.75,
        price=0.024,
        latency=1.0,
    ),
)
"""Prices in US dollars per minute, first tier; the vendor bills 15 seconds at least."""
