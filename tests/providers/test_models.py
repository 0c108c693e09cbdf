"""Models as data: what is known, what is assumed, and when to warn."""

from __future__ import annotations

import datetime

import pytest

from audio.frame import PCM16_8K, PCM16_16K, PCM16_24K, PCM16_48K, PCMA, PCMU, Format
from providers import models
from providers.models import lookup, preferred, warnings
from providers.registry import capabilities_for, kinds
from tests.providers.servers import TARGETS

TODAY = datetime.date(2026, 11, 22)


@pytest.mark.parametrize(
    "kind, model, ends",
    [
        ("openai", "gpt-realtime", "2027-01-20"),
        ("openai", "gpt-realtime-2025-08-28", "2027-01-20"),
        ("openai", "gpt-realtime-mini", "2027-01-20"),
        ("openai", "gpt-audio-mini", "2027-01-20"),
        ("openai", "whisper-1", "2027-02-26"),
        ("openai", "gpt-4o-transcribe-diarize", "2027-02-26"),
        ("azure_openai", "gpt-realtime", "2027-03-02"),
        ("azure_openai", "gpt-realtime-1.5", "2027-08-24"),
        ("azure_openai", "gpt-realtime-2.1", "2027-06-25"),
        ("azure_openai", "gpt-realtime-2", "2026-10-31"),
        ("gemini", "gemini-live-2.5-flash-native-audio", "2026-12-13"),
        ("gemini", "gemini-2.5-flash-native-audio-preview-12-2025", "2026-11-17"),
        ("gemini", "models/gemini-3.1-flash-live-preview", "2026-11-17"),
        ("openai", "gpt-realtime-2.1", None),
        ("gemini", "gemini-3.8-live", None),
        ("openai", "something-tomorrow", None),
    ],
)
def test_end_dates(kind: str, model: str, ends: str | None) -> None:
    found = lookup(kind, model).ends
    assert (found.isoformat() if found else None) == ends


@pytest.mark.parametrize(
    "today, words",
    [
        (datetime.date(2027, 1, 21), "ended on 2027-01-20"),
        (datetime.date(2027, 1, 20), "ends on 2027-01-20 (in 0 days)"),
        (datetime.date(2026, 11, 21), "(in 60 days); use gpt-realtime-2.1"),
        (datetime.date(2026, 11, 20), None),
    ],
)
def test_a_warning_begins_sixty_days_before_the_end(today: datetime.date, words: str | None) -> None:
    told = warnings("openai", "gpt-realtime", today)
    assert len(told) == (words is not None)
    if words is not None:
        assert words in told[0] and "openai" in told[0]


def test_models_without_an_end_are_not_warned_about() -> None:
    for kind, model in (("openai", "gpt-realtime-2.1"), ("gemini", "gemini-3.8-live"), ("xai", "whatever")):
        assert warnings(kind, model, TODAY) == []


def test_unknown_models_have_the_kinds_own_values() -> None:
    model = lookup("gemini", "gemini-9-live")
    assert not model.known and model.id == "gemini-9-live"
    assert model.traits == lookup("gemini", "gemini-3.8-live").traits


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match=r"nova.*openai"):
        lookup("nova", "x")
    with pytest.raises(ValueError, match="nova"):
        warnings("nova", "x", TODAY)


def test_every_kind_has_models_and_every_entry_is_used() -> None:
    data = models._data()
    assert set(data) == set(kinds())
    for kind, entry in data.items():
        assert set(entry) <= {"formats", "input_formats", "output_formats", "capabilities", "traits", "models"}
        for one in entry["models"]:
            assert set(one) <= {"id", "aliases", "ends", "successor", "context", "capabilities", "traits"}
            assert lookup(kind, one["id"]).id == one["id"]
            assert isinstance(one.get("ends", TODAY), datetime.date)
            assert set(one.get("traits", {})) <= set(entry["traits"]) | {"voice_type"}
            if "successor" in one:
                assert lookup(kind, one["successor"]).known


def test_capabilities_that_differ() -> None:
    gemini = capabilities_for(TARGETS["gemini"], PCMU)
    assert not (gemini.explicit_ask or gemini.history_audio or gemini.truncate or gemini.delete_item)
    assert not (gemini.probe_ping or gemini.probe_command or gemini.cancel_by_id or gemini.ask_instructions)
    assert gemini.history_anytime and gemini.min_turn_ms == 0
    openai = capabilities_for(TARGETS["openai"], PCMU)
    assert openai.explicit_ask and openai.history_audio and openai.truncate and openai.probe_command
    assert openai.session_ms == 60 * 60 * 1000 and openai.min_turn_ms == 100
    assert capabilities_for(TARGETS["azure_openai"], PCMU).session_ms == 30 * 60 * 1000


@pytest.mark.parametrize(
    "leg, first",
    [
        (PCMU, PCMU),
        (PCMA, PCMA),
        (PCM16_8K, PCM16_16K),
        (PCM16_16K, PCM16_16K),
        (PCM16_24K, PCM16_24K),
        (PCM16_48K, PCM16_24K),
    ],
)
def test_the_format_that_loses_least_comes_first(leg: Format, first: Format) -> None:
    assert preferred((PCMA, PCMU, PCM16_24K, PCM16_16K), leg)[0] == first
