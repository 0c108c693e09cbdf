"""Azure Voice Live: the flat beta dialect in front of native realtime models or a cascade.

`endpoint` is the resource ("https://NAME.services.ai.azure.com"). Options: `api_version`, `transcription_model`, `auth`
("bearer" for an Entra token), `voice_type` (for voices whose type their name does not tell), `word_timings` (Azure
voices only: the transcript comes word by word with its times), `capabilities`.
"""

from __future__ import annotations

from dataclasses import replace

from audio.frame import Format
from providers.address import check_options, option, websocket_url, with_headers, with_query
from providers.codec import Dial, Target
from providers.dialect import VOICE_LIVE, Setup
from providers.models import capabilities, lookup
from providers.openai import credentials
from providers.realtime import RealtimeCodec

API_VERSION = "2026-07-15"

_OPTIONS = frozenset({"api_version", "transcription_model", "auth", "voice_type", "word_timings", "capabilities"})


def voice_live(target: Target, leg: Format) -> RealtimeCodec:
    """Raises ValueError for a missing address, or an address or an option that cannot be used."""
    check_options(target, _OPTIONS)
    model = lookup(target.kind, target.model)
    timings = target.options.get("word_timings", False)
    if not isinstance(timings, bool):
        raise ValueError(f"provider {target.name}: options.word_timings must be true or false")
    caps = capabilities(model, target, leg)
    caps = replace(caps, word_timings=timings or caps.word_timings)
    query = {"api-version": option(target, "api_version", API_VERSION), "model": target.model}
    auth = option(target, "auth", "api-key", ("bearer", "api-key"))
    return RealtimeCodec(
        VOICE_LIVE,
        target,
        Dial(
            with_query(websocket_url(target, "/voice-live/realtime"), query),
            with_headers(target, credentials(target, auth)),
        ),
        caps,
        Setup(
            caps.input_formats[0],
            caps.output_formats[0],
            option(target, "transcription_model", str(model.traits["transcription"])),
            option(target, "voice_type", str(model.traits.get("voice_type", ""))),
            caps.word_timings,
        ),
    )
