"""Token counts as providers report them, mapped to `Usage`.

Reported details do not always add up to the reported totals (thought tokens left out, modalities missing). What no
detail explains is counted as audio, the dearest modality of both directions, so that a cost is never too low; cached
tokens, which make things cheaper, are counted as text for the same reason.
"""

from __future__ import annotations

from typing import Any

from providers.base import Usage
from providers.wire import Json, count_of, dict_of, list_of, number_of


def openai_usage(usage: Json) -> Usage | None:
    """The `usage` of `response.done` (OpenAI, Azure, Voice Live, xAI); None when it carries nothing."""
    if not usage:
        return None
    given = dict_of(usage, "input_token_details")
    made = dict_of(usage, "output_token_details")
    input_text, input_audio = _split(count_of(usage, "input_tokens"), given)
    output_text, output_audio = _split(count_of(usage, "output_tokens"), made, count_of(made, "reasoning_tokens"))
    cached_text, cached_audio = _cached(
        count_of(given, "cached_tokens"), dict_of(given, "cached_tokens_details"), input_text, input_audio
    )
    return Usage(
        input_text=input_text,
        input_audio=input_audio,
        cached_text=cached_text,
        cached_audio=cached_audio,
        output_text=output_text,
        output_audio=output_audio,
        total=max(count_of(usage, "total_tokens"), input_text + input_audio + output_text + output_audio),
    )


def transcription_usage(usage: Json) -> Usage | None:
    """The `usage` of a finished transcription: tokens or seconds; None when it carries nothing (Voice Live)."""
    if not usage:
        return None
    if usage.get("type") == "duration":
        return Usage(seconds=number_of(usage, "seconds"), kind="transcription")
    input_text, input_audio = _split(count_of(usage, "input_tokens"), dict_of(usage, "input_token_details"))
    output_text = count_of(usage, "output_tokens")
    return Usage(
        input_text=input_text,
        input_audio=input_audio,
        output_text=output_text,
        total=max(count_of(usage, "total_tokens"), input_text + input_audio + output_text),
        kind="transcription",
    )


def gemini_usage(usage: Json) -> Usage | None:
    """`usageMetadata`. The Developer API says response…, Vertex says candidates…; thoughts are billed as text output
    and are in neither count nor total."""
    if not usage:
        return None
    given = _by_modality(list_of(usage, "promptTokensDetails") + list_of(usage, "toolUsePromptTokensDetails"))
    input_text, input_audio = _split(
        count_of(usage, "promptTokenCount") + count_of(usage, "toolUsePromptTokenCount"), given
    )
    name = "response" if "responseTokenCount" in usage or "responseTokensDetails" in usage else "candidates"
    made = _by_modality(list_of(usage, f"{name}TokensDetails"))
    output_text, output_audio = _split(count_of(usage, f"{name}TokenCount"), made)
    output_text += count_of(usage, "thoughtsTokenCount")
    cached_text, cached_audio = _cached(
        count_of(usage, "cachedContentTokenCount"),
        _by_modality(list_of(usage, "cacheTokensDetails")),
        input_text,
        input_audio,
    )
    return Usage(
        input_text=input_text,
        input_audio=input_audio,
        cached_text=cached_text,
        cached_audio=cached_audio,
        output_text=output_text,
        output_audio=output_audio,
        total=max(count_of(usage, "totalTokenCount"), input_text + input_audio + output_text + output_audio),
    )


def _split(total: int, details: Json, text_at_most: int = 0) -> tuple[int, int]:
    """Text and audio tokens of one direction. Of what the details leave open, up to `text_at_most` is text (reasoning)
    and the rest audio."""
    text, audio = count_of(details, "text_tokens"), count_of(details, "audio_tokens")
    residual = max(0, total - text - audio)
    more_text = min(residual, text_at_most)
    return text + more_text, audio + residual - more_text


def _cached(total: int, details: Json, input_text: int, input_audio: int) -> tuple[int, int]:
    """Cached tokens are part of the input counts, so they never exceed them."""
    text, audio = count_of(details, "text_tokens"), count_of(details, "audio_tokens")
    residual = max(0, total - text - audio)
    more_text = min(residual, max(0, input_text - text))
    return min(text + more_text, input_text), min(audio + residual - more_text, input_audio)


def _by_modality(details: list[Any]) -> Json:
    """Gemini's list of {modality, tokenCount} in the shape of OpenAI's details."""
    sums = {"text_tokens": 0, "audio_tokens": 0}
    for detail in details:
        if isinstance(detail, dict):
            name = f"{str(detail.get('modality')).lower()}_tokens"
            if name in sums:
                sums[name] += count_of(detail, "tokenCount")
    return sums
