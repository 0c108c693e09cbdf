"""Token counts as the services report them, with the traps that were met."""

from __future__ import annotations

import pytest

from providers.base import UsageReported
from providers.usage import gemini_usage, openai_usage, transcription_usage
from providers.wire import Json
from tests.providers.servers import codec, said


def test_openai_with_cached_splits() -> None:
    """1000 in of which 800 audio, 500 cached of which 400 audio; 500 out of which 400 audio."""
    usage = openai_usage(
        {
            "total_tokens": 1500,
            "input_tokens": 1000,
            "output_tokens": 500,
            "input_token_details": {
                "text_tokens": 200,
                "audio_tokens": 800,
                "image_tokens": 0,
                "cached_tokens": 500,
                "cached_tokens_details": {"text_tokens": 100, "audio_tokens": 400, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 100, "audio_tokens": 400},
        }
    )
    assert usage is not None
    assert (usage.input_text, usage.input_audio, usage.cached_text, usage.cached_audio) == (200, 800, 100, 400)
    assert (usage.output_text, usage.output_audio, usage.total) == (100, 400, 1500)
    # US dollars per million on gpt-realtime: text 4 / 0.40 / 16, audio 32 / 0.40 / 64
    cost = (
        (usage.input_text - usage.cached_text) * 4
        + (usage.input_audio - usage.cached_audio) * 32
        + (usage.cached_text + usage.cached_audio) * 0.40
        + usage.output_text * 16
        + usage.output_audio * 64
    ) / 1e6
    assert cost == pytest.approx(0.0406)


def test_voice_live_reasoning_is_text() -> None:
    usage = openai_usage(
        {"input_tokens": 10, "output_tokens": 50, "output_token_details": {"audio_tokens": 20, "reasoning_tokens": 30}}
    )
    assert usage is not None and (usage.output_text, usage.output_audio) == (30, 20)
    # ... and is not counted twice where it is part of the text already
    usage = openai_usage(
        {"output_tokens": 50, "output_token_details": {"text_tokens": 30, "audio_tokens": 20, "reasoning_tokens": 25}}
    )
    assert usage is not None and (usage.output_text, usage.output_audio) == (30, 20)


def test_what_no_detail_explains_is_audio_and_cached_is_text() -> None:
    """The dearest reading both times."""
    usage = openai_usage({"input_tokens": 100, "output_tokens": 40, "input_token_details": {"cached_tokens": 60}})
    assert usage is not None
    assert (usage.input_text, usage.input_audio, usage.output_text, usage.output_audio) == (0, 100, 0, 40)
    assert (usage.cached_text, usage.cached_audio) == (0, 60)
    usage = openai_usage(
        {"input_tokens": 100, "input_token_details": {"text_tokens": 50, "audio_tokens": 50, "cached_tokens": 60}}
    )
    assert usage is not None and (usage.cached_text, usage.cached_audio) == (50, 10)


def test_gemini_details_that_do_not_add_up() -> None:
    """As reported on gemini-3.8-live: prompt 522 against 332 + 165, a total that leaves out 136 thought tokens."""
    usage = gemini_usage(
        {
            "promptTokenCount": 522,
            "responseTokenCount": 42,
            "thoughtsTokenCount": 136,
            "totalTokenCount": 564,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 332}, {"modality": "AUDIO", "tokenCount": 165}],
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 42}],
        }
    )
    assert usage is not None
    assert (usage.input_text, usage.input_audio) == (332, 165 + 25)
    assert (usage.output_text, usage.output_audio) == (136, 42)
    assert usage.total == 522 + 42 + 136


def test_gemini_vertex_names_tools_and_cache() -> None:
    usage = gemini_usage(
        {
            "promptTokenCount": 100,
            "toolUsePromptTokenCount": 20,
            "candidatesTokenCount": 30,
            "cachedContentTokenCount": 50,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 40},
                {"modality": "AUDIO", "tokenCount": 60},
                {"modality": "TEXT", "tokenCount": 20},
            ],
            "candidatesTokensDetails": [
                {"modality": "TEXT", "tokenCount": 5},
                {"modality": "AUDIO", "tokenCount": 25},
            ],
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 40}, {"modality": "AUDIO", "tokenCount": 10}],
        }
    )
    assert usage is not None
    assert (usage.input_text, usage.input_audio, usage.output_text, usage.output_audio) == (60, 60, 5, 25)
    assert (usage.cached_text, usage.cached_audio) == (40, 10)
    assert usage.total == 150


def test_transcriptions_bill_by_tokens_or_by_time() -> None:
    tokens = transcription_usage(
        {
            "type": "tokens",
            "total_tokens": 35,
            "input_tokens": 26,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 26},
            "output_tokens": 9,
        }
    )
    assert tokens is not None and tokens.kind == "transcription"
    assert (tokens.input_audio, tokens.output_text, tokens.total, tokens.seconds) == (26, 9, 35, 0.0)
    duration = transcription_usage({"type": "duration", "seconds": 3})
    assert duration is not None and (duration.seconds, duration.total, duration.kind) == (3.0, 0, "transcription")


@pytest.mark.parametrize("usage", [{}, {"input_tokens": None}, {"input_tokens": -5}, {"input_tokens": "12"}])
def test_nonsense_counts_as_nothing(usage: Json) -> None:
    for mapped in (openai_usage(usage), transcription_usage(usage), gemini_usage(usage)):
        assert mapped is None or (mapped.total, mapped.input_audio, mapped.output_audio) == (0, 0, 0)


def test_gemini_usage_after_the_turn_is_reported_on_its_own() -> None:
    link = codec("gemini")
    said(link, [{"setupComplete": {}}, {"serverContent": {"turnComplete": True}}])
    (event,) = said(link, [{"usageMetadata": {"promptTokenCount": 7, "responseTokenCount": 0}}])
    assert isinstance(event, UsageReported) and event.usage.input_audio == 7
