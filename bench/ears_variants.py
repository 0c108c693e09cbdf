"""Seeded variants of a corpus' calls: the same conversations on other lines, with other voices and in other noise.

What a detector makes of them tells how far its figures hold on calls that nobody tuned it to. Truth moves with the
sound.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import soundfile

from audio import g711
from bench.ears_corpus import RATE, Call, Pcm, Span, Turn
from bench.ears_overlays import Material, Studio, Wave

PACKET = 160  # samples
SPEEDS = (0.85, 0.93, 1.08, 1.18)  # above 1: slower and lower
GAINS_DB = (-14.0, -8.0, 6.0)
LOSSES = (0.02, 0.04, 0.06)
SNRS_DB = (10.0, 15.0, 20.0)
HISS = ("pink", "engine")  # made up, beside the corpus' own noise and its babble


def variants(calls: Sequence[Call], seed: int) -> list[Call]:
    """Every call with speech at other speeds and levels, through GSM, with lost packets, without sound between turns;
    the calls on quiet lines with noise of each kind at 10, 15 and 20 dB. The scenario names the variant."""
    rng = np.random.default_rng(seed)
    material = Material(calls)
    studio = Studio(material, seed)
    spoken = [call for call in calls if call.turns]
    quiet = [call for call in spoken if call.clean]
    out: list[Call] = []
    for call in spoken:
        out += [_at_speed(call, factor) for factor in SPEEDS]
        out += [_named(call, f"{db:+.0f} dB", call.near * 10 ** (db / 20)) for db in GAINS_DB]
        out += [_named(call, f"loss {share:.0%}", _lose(call.near, share, rng)) for share in LOSSES]
        out += [_named(call, "gsm", _gsm(call.near)), _named(call, "muted between", _mute(call))]
    for kind in (*sorted(material.noises), "babble", *HISS):
        for snr in SNRS_DB:
            out += [_named(call, f"{kind} {snr:.0f} dB", _with_noise(call, kind, snr, studio, rng)) for call in quiet]
    return out


def _named(call: Call, scenario: str, near: Wave | Pcm) -> Call:
    line = g711.ulaw_decode(g711.ulaw_encode(np.asarray(near).clip(-32768, 32767).astype(np.int16)))
    return replace(call, scenario=scenario, near=line)


def _at_speed(call: Call, factor: float) -> Call:
    def sound(pcm: Pcm) -> Pcm:
        at = np.arange(int(len(pcm) * factor)) / factor
        return np.interp(at, np.arange(len(pcm)), pcm).astype(np.int16)

    def times(spans: Sequence[Span]) -> list[Span]:
        return [(a * factor, b * factor) for a, b in spans]

    return replace(
        call,
        scenario=f"speed {1 / factor:.2f}",
        near=sound(call.near),
        far=sound(call.far),
        turns=[Turn(t.start * factor, t.end * factor, tuple(times(t.pauses))) for t in call.turns],
        backchannels=times(call.backchannels),
        agent=times(call.agent),
        lines=times(call.lines),
    )


def _lose(near: Pcm, share: float, rng: np.random.Generator) -> Wave:
    """Packets of 20 ms are lost; the one before is repeated, weaker each time."""
    out = near.astype(np.float64)
    weight = 1.0
    for at in range(PACKET, len(out) - PACKET + 1, PACKET):
        if rng.random() >= share:
            weight = 1.0
            continue
        fade, weight = max(0.0, weight - 0.4) / weight if weight else 0.0, max(0.0, weight - 0.4)
        out[at : at + PACKET] = out[at - PACKET : at] * fade
    return out


def _gsm(near: Pcm) -> Pcm:
    """Through GSM 06.10 full rate, as libsndfile does it."""
    file = io.BytesIO()
    soundfile.write(file, near, RATE, format="WAV", subtype="GSM610")
    file.seek(0)
    through: Pcm = soundfile.read(file, dtype="int16")[0][: len(near)]
    return through


def _mute(call: Call) -> Wave:
    """Discontinuous transmission without comfort noise: digital silence where nobody speaks."""
    spoken = np.zeros(len(call.near), bool)
    for start, end in [*((t.start, t.end) for t in call.turns), *call.backchannels]:
        spoken[max(0, int((start - 0.06) * RATE)) : int((end + 0.16) * RATE)] = True
    return np.where(spoken, call.near, 0).astype(np.float64)


def _with_noise(call: Call, kind: str, snr: float, studio: Studio, rng: np.random.Generator) -> Wave:
    size = len(call.near)
    speech = np.concatenate([call.near[int(t.start * RATE) : int(t.end * RATE)] for t in call.turns])
    noise = _hiss(kind, size, rng) if kind in HISS else studio.noise(kind, size)
    return call.near + noise * 10 ** ((_loud_db(speech.astype(np.float64)) - _loud_db(noise) - snr) / 20)


def _hiss(kind: str, size: int, rng: np.random.Generator) -> Wave:
    """Noise that falls by 3 dB an octave (pink), or by 7 (an engine)."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    hz = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 60.0)
    return np.asarray(np.fft.irfft(spectrum / hz ** (0.5 if kind == "pink" else 1.2), size))


def _loud_db(wave: Wave) -> float:
    """The level of the louder half."""
    power = np.sort((wave[: len(wave) // PACKET * PACKET].reshape(-1, PACKET) ** 2).mean(axis=1))
    return float(10 * np.log10(power[len(power) // 2 :].mean() + 1e-9))
