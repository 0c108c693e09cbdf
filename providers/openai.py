"""OpenAI Realtime (GA), and Azure OpenAI Realtime, which speaks the same at another address.

Azure OpenAI: `endpoint` is the resource ("https://NAME.openai.azure.com"), `model` the deployment's name.
Options: `transcription_model`, `auth` ("bearer" for an Entra token on Azure), `capabilities`.
"""

from __future__ import annotations

from audio.frame import Format
from providers.address import check_options, option, websocket_url, with_headers, with_query
from providers.codec import Dial, Target
from providers.dialect import GA, Setup
from providers.models import capabilities, lookup
from providers.realtime import RealtimeCodec

_OPTIONS = frozenset({"transcription_model", "auth", "capabilities"})


def openai(target: Target, leg: Format) -> RealtimeCodec:
    """Raises ValueError for an address or an option that cannot be used."""
    url = websocket_url(target, "/v1/realtime", default="wss://api.openai.com")
    return _codec(target, leg, url, option(target, "auth", "bearer", ("bearer", "api-key")))


def azure_openai(target: Target, leg: Format) -> RealtimeCodec:
    """Raises ValueError for a missing address, or an address or an option that cannot be used."""
    url = websocket_url(target, "/openai/v1/realtime")
    return _codec(target, leg, url, option(target, "auth", "api-key", ("bearer", "api-key")))


def _codec(target: Target, leg: Format, url: str, auth: str) -> RealtimeCodec:
    check_options(target, _OPTIONS)
    model = lookup(target.kind, target.model)
    caps = capabilities(model, target, leg)
    transcription = option(target, "transcription_model", str(model.traits["transcription"]))
    return RealtimeCodec(
        GA,
        target,
        Dial(with_query(url, {"model": target.model}), with_headers(target, credentials(target, auth))),
        caps,
        Setup(caps.input_formats[0], caps.output_formats[0], transcription),
    )


def credentials(target: Target, auth: str) -> dict[str, str]:
    """The header that carries the key; none without a key (a gateway may add its own)."""
    if not target.api_key:
        return {}
    return {"Authorization": f"Bearer {target.api_key}"} if auth == "bearer" else {"api-key": target.api_key}
