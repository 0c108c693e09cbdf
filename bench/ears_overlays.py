"""Seeded synthetic calls made from a corpus: callers interrupting, humming along, echoing and speaking through noise.

Everything is put together from the corpus' own sound (utterances, agent lines, noise between utterances), so that the
truth is exact. Each overlay is one short call: the same seed gives the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from audio import g711
from bench.ears_corpus import LINE_GAP, RATE, Call, Pcm, Span, Turn, joined

Wave = NDArray[np.float64]
T = TypeVar("T")
QUIET_LINES = frozenset(
    {"auto_dealer_service_call", "clean", "gsm", "dtx", "bargein", "backchannel", "digits", "loss", "echo"}
)
LINE_NOISE_DB = -62.0
LINE_HZ = 300.0, 3400.0
SHORTEST_LINE = 6.0  # seconds of agent speech worth interrupting


@dataclass(slots=True)
class Sound:
    """A piece of speech with its pauses (seconds from its start)."""

    wave: Wave
    pauses: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        return len(self.wave) / RATE


class Material:
    """What a corpus offers to build with. Raises ValueError when it has no caller speech or no long agent line."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.utterances: list[Sound] = []
        self.words: list[Sound] = []
        self.lines: list[Wave] = []
        self.noises: dict[str, list[Wave]] = {}
        for call in calls:
            self._speech(call)
            self._lines(call)
            self._noise(call)
        if not (self.utterances and self.words and self.lines):
            raise ValueError(
                "the corpus has no caller turns, no short words or no long agent lines to build overlays from"
            )

    def _speech(self, call: Call) -> None:
        if call.scenario in QUIET_LINES:
            self.utterances += [Sound(_cut(call.near, t.start, t.end), _shift(t)) for t in call.turns]
        for start, end in [*call.backchannels, *call.words]:
            self.words.append(Sound(_cut(call.near, start, end), ()))

    def _lines(self, call: Call) -> None:
        self.lines += [_cut(call.far, a, b) for a, b in call.lines if b - a >= SHORTEST_LINE]

    def _noise(self, call: Call) -> None:
        for kind, start, end in call.noises:
            self.noises.setdefault(kind, []).append(_cut(call.near, start, end))


class Studio:
    """Builds overlays from `material`; `seed` decides everything."""

    def __init__(self, material: Material, seed: int) -> None:
        self._material = material
        self._rng = np.random.default_rng(seed)

    def barge_in(self, name: str, echo: bool, noise: str = "", snr: float = 20.0) -> Call:
        """A caller turn that starts over a long agent line, level and moment at random."""
        said = self._pick([u for u in self._material.utterances if u.seconds < 6])
        return self._over_agent(name, "bargein", said, True, echo, noise, snr)

    def backchannel(self, name: str, echo: bool, noise: str = "", snr: float = 20.0) -> Call:
        """One word of 0.3 to 0.75 s over a long agent line."""
        return self._over_agent(name, "backchannel", self._pick(self._material.words), False, echo, noise, snr)

    def echo(self, name: str, noise: str = "", snr: float = 20.0) -> Call:
        """A long agent line and nothing but its echo: every alarm is false."""
        return self._over_agent(name, "", None, False, True, noise, snr)

    def _over_agent(
        self, name: str, kind: str, said: Sound | None, turn: bool, echo: bool, noise: str, snr: float
    ) -> Call:
        rng = self._rng
        line = self._level(self._pick(self._material.lines), rng.uniform(-24, -18))
        lead, tail = 1.0, 3.0
        far = np.concatenate([_silence(lead), line, _silence(tail)])
        near = self._line_noise(len(far))
        call = Call(name, kind, _pcm(near), _pcm(far), agent=_active(far), lines=joined(_active(far), LINE_GAP))
        level = rng.uniform(-30, -18)
        if said is not None:
            voice = self._level(_stretch(said.wave, rng.uniform(0.92, 1.08)), level)
            latest = max(2.2, lead + len(line) / RATE - len(voice) / RATE - 1.2)
            start = rng.uniform(2.0, latest)
            _mix(near, voice, start)
            end = min(start + len(voice) / RATE, len(near) / RATE)
            if turn:
                factor = len(voice) / len(said.wave)
                call.turns = [Turn(start, end, tuple((start + a * factor, start + b * factor) for a, b in said.pauses))]
            else:
                call.backchannels = [(start, end)]
        if echo:
            call.scenario = f"echo {kind}".strip()
            near = near + self._echo(far)
        self._add_noise(call, near, noise, snr, level)
        return call

    def dialogue(self, name: str, noise: str, snr: float, turns: int = 4, gain: float = 0.0) -> Call:
        """Questions of the agent answered by the caller, on a line with `noise` `snr` dB under the caller's speech."""
        rng = self._rng
        far, near_at, spoken = [_silence(0.6)], [], []
        clock = 0.6
        level = rng.uniform(-26, -20) + gain
        for _ in range(turns):
            line = self._level(self._pick(self._material.lines)[: int(rng.uniform(3, 6) * RATE)], -21)
            said = self._pick(self._material.utterances)
            gap, after = rng.uniform(0.4, 1.5), rng.uniform(1.0, 1.8)
            start = clock + len(line) / RATE + gap
            voice = self._level(said.wave, level)
            near_at.append((start, voice))
            spoken.append(Turn(start, start + said.seconds, tuple((start + a, start + b) for a, b in said.pauses)))
            far += [line, _silence(gap + said.seconds + after)]
            clock = start + said.seconds + after
        far_wave = np.concatenate([*far, _silence(2.0)])
        near = self._line_noise(len(far_wave))
        for start, voice in near_at:
            _mix(near, voice, start)
        call = Call(
            name,
            noise or "clean",
            _pcm(near),
            _pcm(far_wave),
            turns=spoken,
            agent=_active(far_wave),
            lines=joined(_active(far_wave), LINE_GAP),
        )
        self._add_noise(call, near, noise, snr, level)
        return call

    def _add_noise(self, call: Call, near: Wave, noise: str, snr: float, level: float) -> None:
        if noise:
            near = near + self._level(self.noise(noise, len(near)), level - snr)
            call.scenario = f"{noise} {call.scenario}".strip() if call.scenario != noise else noise
        call.near = g711.ulaw_decode(g711.ulaw_encode(_pcm(near)))

    def noise(self, kind: str, size: int) -> Wave:
        """`size` samples of "babble" or of a noise of the corpus, at whatever level."""
        if kind == "babble":
            return self._babble(size)
        return self._loop(self._pick(self._material.noises[kind]), size)

    def _babble(self, size: int) -> Wave:
        out = np.zeros(size)
        for _ in range(5):
            at = 0
            while at < size:
                piece = self._level(self._pick(self._material.utterances).wave, -20)[: size - at]
                out[at : at + len(piece)] += piece
                at += len(piece) + int(self._rng.uniform(0.1, 0.8) * RATE)
        return out

    def _echo(self, far: Wave) -> Wave:
        """What comes back through a loudspeaker, a microphone and a telephone line: no more than that lets through."""
        delay = int(self._rng.uniform(0.08, 0.2) * RATE)
        out = np.zeros(len(far))
        out[delay:] = far[: len(far) - delay] * 10 ** (-self._rng.uniform(16, 26) / 20)
        spectrum = np.fft.rfft(out)
        hz = np.fft.rfftfreq(len(out), 1 / RATE)
        spectrum[(hz < LINE_HZ[0]) | (hz > LINE_HZ[1])] = 0.0
        return np.asarray(np.fft.irfft(spectrum, len(out)))

    def _line_noise(self, size: int) -> Wave:
        return self._rng.standard_normal(size) * 32768 * 10 ** (LINE_NOISE_DB / 20)

    def _loop(self, piece: Wave, size: int) -> Wave:
        piece = np.roll(piece, int(self._rng.integers(len(piece))))
        return np.tile(piece, size // len(piece) + 1)[:size]

    def _level(self, wave: Wave, db: float) -> Wave:
        """Sets the level of the louder half of `wave` (its speech, not its pauses)."""
        power = wave[: len(wave) // 160 * 160].reshape(-1, 160)
        loud = np.sort((power**2).mean(axis=1))
        mean = loud[len(loud) // 2 :].mean() if len(loud) else 1.0
        return wave * float(32768 * 10 ** (db / 20) / np.sqrt(mean + 1e-9))

    def _pick(self, items: Sequence[T]) -> T:
        return items[int(self._rng.integers(len(items)))]


def overlays(calls: Sequence[Call], seed: int, each: int = 200) -> list[Call]:
    """`each` barge-ins, `each` backchannels, a quarter as many echoes, and noisy dialogues of four turns."""
    material = Material(calls)
    studio = Studio(material, seed)
    kinds = ["", *sorted(material.noises), "babble"]
    out: list[Call] = []
    for n in range(each):
        out.append(studio.barge_in(f"bargein{n}", echo=n % 2 == 1))
        out.append(studio.backchannel(f"backchannel{n}", echo=n % 2 == 1))
    out += [studio.echo(f"echo{n}") for n in range(each // 4)]
    make: list[Callable[[str], Call]] = [
        lambda name, kind=kind, snr=snr: studio.dialogue(name, kind, snr)  # type: ignore[misc]
        for kind in kinds
        for snr in ((10.0, 15.0, 20.0) if kind else (0.0,))
    ]
    out += [build(f"dialogue{n}") for n, build in enumerate(make)]
    return out


def _cut(pcm: Pcm, start: float, end: float) -> Wave:
    """The stretch with 10 ms fades, so that joining makes no clicks."""
    wave = pcm[int(start * RATE) : int(end * RATE)].astype(np.float64)
    fade = min(80, len(wave) // 2)
    if fade:
        wave[:fade] *= np.linspace(0, 1, fade)
        wave[-fade:] *= np.linspace(1, 0, fade)
    return wave


def _shift(turn: Turn) -> tuple[Span, ...]:
    return tuple((a - turn.start, b - turn.start) for a, b in turn.pauses)


def _active(far: Wave) -> list[Span]:
    blocks = far[: len(far) // 160 * 160].reshape(-1, 160)
    loud = 10 * np.log10((blocks**2).mean(axis=1) / 32768**2 + 1e-10) > -50
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    return joined([(a * 0.02, b * 0.02) for a, b in zip(edges[::2], edges[1::2], strict=True)], 0.1)


def _mix(near: Wave, voice: Wave, start: float) -> None:
    at = int(start * RATE)
    piece = voice[: len(near) - at]
    near[at : at + len(piece)] += piece


def _stretch(wave: Wave, factor: float) -> Wave:
    """Slower and lower for a factor above 1 (plain resampling)."""
    return np.asarray(np.interp(np.arange(int(len(wave) * factor)) / factor, np.arange(len(wave)), wave))


def _silence(seconds: float) -> Wave:
    return np.zeros(int(seconds * RATE))


def _pcm(wave: Wave) -> Pcm:
    return wave.clip(-32768, 32767).astype(np.int16)
