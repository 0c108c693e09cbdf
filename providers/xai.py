"""xAI's voice agent API: GA event names, a session of its own, no metadata on responses.

Known from recordings of server turn detection and text turns only; capabilities they do not show are off.
Options: `transcription_model`, `capabilities`.
"""

from __future__ import annotations

from audio.frame import Format
from providers.address import check_options, option, websocket_url, with_headers, with_query
from providers.codec import Dial, Target
from providers.dialect import XAI, Setup
from providers.models import capabilities, lookup
from providers.openai import credentials
from providers.realtime import RealtimeCodec

_OPTIONS = frozenset({"transcription_model", "capabilities"})


def xai(target: Target, leg: Format) -> RealtimeCodec:
    """Raises ValueError for an address or an option that cannot be used."""
    check_options(target, _OPTIONS)
    model = lookup(target.kind, target.model)
    caps = capabilities(model, target, leg)
    url = websocket_url(target, "/v1/realtime", default="wss://api.x.ai")
    return RealtimeCodec(
        XAI,
        target,
        Dial(with_query(url, {"model": target.model}), with_headers(target, credentials(target, "bearer"))),
        caps,
        Setup(
            caps.input_formats[0],
            caps.output_formats[0],
            option(target, "transcription_model", str(model.traits["transcription"])),
        ),
    )
