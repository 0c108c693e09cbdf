"""Made-up telephone lines for tests: a buzzing voice, noise and tones, with exact times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audio.frame import Format, Frame, Pcm, encode
from audio.turns import TurnDetector, TurnEvent, TurnSettings

RATE = 8000
BLOCK = 160
Wave = NDArray[np.float64]


def scaled(wave: Wave, db: float) -> Wave:
    power = np.sqrt(np.mean(wave**2)) or 1.0
    return wave * (32768 * 10 ** (db / 20) / power)


def noise(seconds: float, db: float, seed: int = 1) -> Wave:
    return scaled(np.random.default_rng(seed).standard_normal(int(seconds * RATE)), db)


def voice(seconds: float, db: float, seed: int = 1, pitch: float = 130.0) -> Wave:
    """A gliding pitch with three formants, syllables of about a fifth of a second."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(seconds * RATE)) / RATE
    glide = pitch * (1 + 0.15 * np.sin(2 * np.pi * (0.9 * at + rng.uniform())))
    phase = 2 * np.pi * np.cumsum(glide) / RATE
    wave = np.zeros(len(at))
    for harmonic in range(2, 26):
        hz = harmonic * pitch
        gain = sum(
            np.exp(-(((hz - formant) / width) ** 2)) for formant, width in ((550, 250), (1500, 350), (2500, 400))
        )
        wave += (gain + 0.02) * np.sin(harmonic * phase + rng.uniform(0, 6.3))
    syllables = 0.75 + 0.25 * np.sin(2 * np.pi * 4.5 * at + 1.5)
    return scaled(wave * syllables + 0.02 * rng.standard_normal(len(at)), db)


def tones(seconds: float, db: float, *hz: float) -> Wave:
    at = np.arange(int(seconds * RATE)) / RATE
    return scaled(np.sum([np.sin(2 * np.pi * f * at) for f in hz], axis=0), db)


def line(*parts: Wave | float, floor: float = -65.0, seed: int = 7) -> Pcm:
    """Parts one after the other over line noise; a number is that many seconds of nothing."""
    wave = np.concatenate([np.zeros(int(p * RATE)) if isinstance(p, int | float) else p for p in parts])
    return (wave + noise(len(wave) / RATE + 0.01, floor, seed)[: len(wave)]).clip(-32768, 32767).astype(np.int16)


def listen(
    near: Pcm,
    far: Pcm | None = None,
    agent: tuple[float, float] = (0.0, 0.0),
    settings: TurnSettings | None = None,
    rate: int = RATE,
    size: int | None = None,
    lost: tuple[float, float] = (0.0, 0.0),
    format: Format | None = None,
    detector: TurnDetector | None = None,
) -> list[TurnEvent]:
    """Runs a detector; the agent is heard from agent[0] to agent[1] seconds, frames in `lost` are concealed."""
    detector = detector or TurnDetector(settings or TurnSettings(), rate)
    size = size or rate // 50
    wire = format or Format("pcm16", rate)
    events: list[TurnEvent] = []
    for start in range(0, len(near) - size + 1, size):
        t = start / rate
        left = int((agent[1] - t) * rate) if agent[0] <= t < agent[1] else 0
        if left and far is not None:
            detector.played(Frame(encode(far[start : start + size], wire.encoding), wire))
        frame = Frame(encode(near[start : start + size], wire.encoding), wire, concealed=lost[0] <= t < lost[1])
        events.extend(detector.push(frame, left))
    return events


def kinds(events: list[TurnEvent]) -> list[str]:
    return [event.kind for event in events]
