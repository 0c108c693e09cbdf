"""Which kinds of providers there are. A new one is a file with a codec and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from audio.frame import Format
from providers.codec import Capabilities, Codec, Target
from providers.gemini import gemini
from providers.openai import azure_openai, openai
from providers.voice_live import voice_live
from providers.xai import xai

_KINDS: Mapping[str, Callable[[Target, Format], Codec]] = {
    "openai": openai,
    "azure_openai": azure_openai,
    "azure_voice_live": voice_live,
    "gemini": gemini,
    "xai": xai,
}


def kinds() -> tuple[str, ...]:
    """The names a target's `kind` may have."""
    return tuple(_KINDS)


def codec_for(target: Target, leg: Format) -> Codec:
    """A fresh codec for one session with `target`, speaking the formats that suit a leg of format `leg` best.

    Raises ValueError for an unknown kind (naming the known ones), a missing address or an unusable option.
    """
    build = _KINDS.get(target.kind)
    if build is None:
        raise ValueError(f"provider {target.name}: unknown kind {target.kind!r}; known: {', '.join(_KINDS)}")
    return build(target, leg)


def capabilities_for(target: Target, leg: Format) -> Capabilities:
    """What the target can do on such a leg; its preferred formats come first. Raises as `codec_for` does."""
    return codec_for(target, leg).capabilities
