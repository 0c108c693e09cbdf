"""What the sound modules cost: median microseconds of one thread per 20 ms frame. `python -m bench.audio [--json]`."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from audio import g711
from audio.conceal import Concealer
from audio.files import read_audio, write_audio
from audio.frame import PCM16_8K, PCM16_24K, PCMA, PCMU, Format, Frame, Pcm, encode
from audio.gain import Agc, ComfortNoise, Fader, Limiter, Volume, comfort_noise, rms_dbfs
from audio.joins import fade_out
from audio.resample import RATES, Resampler

Case = tuple[str, Callable[[], object], float]  # name, what to time, frames of 20 ms it works on


def voice(rate: int, seconds: float, peak: int = 9000) -> Pcm:
    """A voiced sound with some noise: numbered speech would do no better for timing."""
    at = np.arange(int(rate * seconds)) / rate
    sound = sum(np.sin(2 * np.pi * 130 * n * at) / n for n in range(1, 20))
    rough = np.random.default_rng(1).normal(0, 0.05, len(at))
    return np.asarray((sound / 2 + rough) * peak, dtype=np.int16)


def codec_cases() -> Iterator[Case]:
    pcm = voice(8000, 0.02)
    ulaw, alaw = g711.ulaw_encode(pcm), g711.alaw_encode(pcm)
    quieter = g711.gain_table("pcmu", -12.0)
    yield "g711 u-law decode", lambda: g711.ulaw_decode(ulaw), 1
    yield "g711 u-law encode", lambda: g711.ulaw_encode(pcm), 1
    yield "g711 A-law decode", lambda: g711.alaw_decode(alaw), 1
    yield "g711 A-law encode", lambda: g711.alaw_encode(pcm), 1
    yield "g711 u-law to A-law", lambda: g711.ulaw_to_alaw(ulaw), 1
    yield "g711 gain by table", lambda: ulaw.translate(quieter), 1


def resample_cases() -> Iterator[Case]:
    for rate_in in RATES:
        for rate_out in RATES:
            if rate_in == rate_out:
                continue
            resampler, frame, long = Resampler(rate_in, rate_out), voice(rate_in, 0.02), voice(rate_in, 2.0)
            name = f"resample {rate_in // 1000} to {rate_out // 1000} kHz"
            yield name, lambda r=resampler, pcm=frame: r.process(pcm), 1  # type: ignore[misc]
            yield f"{name}, 2 s at once", lambda r=resampler, pcm=long: r.process(pcm), 100  # type: ignore[misc]


def fader_cases(name: str, format: Format) -> Iterator[Case]:
    data = encode(voice(format.rate, 0.02), format.encoding)
    full, low, sliding = Fader(format), Fader(format), Fader(format)
    low.duck()
    low.apply(data)

    def slide() -> bytes:
        sliding.duck()
        ducked = sliding.apply(data)
        sliding.restore()
        return ducked + sliding.apply(data)

    yield f"fader {name}, full level", lambda: full.apply(data), 1
    yield f"fader {name}, ducked", lambda: low.apply(data), 1
    yield f"fader {name}, sliding", slide, 2
    yield f"fade out {name}", lambda: fade_out(data, format), 1
    same, lower, higher, peaks = (Volume(format) for _ in range(4))
    lower.set(-6.0)
    higher.set(6.0)
    peaks.set(6.0)
    quiet, loud = (encode(voice(format.rate, 0.02, peak), format.encoding) for peak in (2000, 25000))
    yield f"volume {name}, voices that match", lambda: same.apply(data), 1
    yield f"volume {name}, lowered", lambda: lower.apply(data), 1
    yield f"volume {name}, raised", lambda: higher.apply(quiet), 1
    yield f"volume {name}, raised and limited", lambda: peaks.apply(loud), 1


def level_cases() -> Iterator[Case]:
    pcm, loud, quiet = voice(8000, 0.02), voice(8000, 0.02, peak=25000), voice(8000, 0.02, peak=500)
    calm, busy, agc = Limiter(8000), Limiter(8000), Agc(8000)
    yield "limiter, nothing to do", lambda: calm.process(quiet), 1
    yield "limiter, limiting", lambda: busy.process(loud), 1
    yield "automatic gain, quiet caller", lambda: agc.process(quiet, True), 1
    yield "comfort noise", lambda: comfort_noise(-60.0, 160, 1), 1
    hiss = ComfortNoise(PCMU)
    yield "comfort noise on the wire", lambda: hiss.next(160), 1
    yield "level", lambda: rms_dbfs(pcm), 1


def conceal_cases(name: str, format: Format) -> Iterator[Case]:
    pieces = np.split(voice(format.rate, 0.2), 10)
    frames = [Frame(encode(piece, format.encoding), format) for piece in pieces]
    clean = Concealer(format)

    def one_in_ten() -> None:
        concealer = Concealer(format)
        for frame in frames[:8]:
            concealer.received(frame)
        concealer.lost()
        concealer.received(frames[9])

    yield f"conceal {name}, nothing lost", lambda: clean.received(frames[0]), 1
    yield f"conceal {name}, one frame in ten lost", one_in_ten, 10


def file_cases(folder: Path) -> Iterator[Case]:
    pcm = voice(8000, 10.0)
    for ending in ("wav", "flac"):
        path = folder / f"call.{ending}"
        write_audio(path, pcm, 8000)
        yield f"read {ending}", lambda at=path: read_audio(at, 8000), 500  # type: ignore[misc]
        yield f"write {ending}", lambda at=path: write_audio(at, pcm, 8000), 500  # type: ignore[misc]
    odd = folder / "odd.wav"
    write_audio(odd, voice(44100, 10.0), 44100)
    yield "read wav of 44.1 kHz at 8 kHz", lambda: read_audio(odd, 8000), 500


def microseconds(work: Callable[[], object], frames: float) -> float:
    """Median over 25 runs of about 4 ms each, after a warm-up."""
    work()
    begin = perf_counter_ns()
    work()
    times = max(1, int(4e6 / max(perf_counter_ns() - begin, 1)))
    runs = []
    for _ in range(25):
        begin = perf_counter_ns()
        for _ in range(times):
            work()
        runs.append((perf_counter_ns() - begin) / times)
    return statistics.median(runs) / 1000 / frames


def cases(folder: Path) -> Iterator[Case]:
    yield from codec_cases()
    yield from resample_cases()
    for name, format in (("u-law", PCMU), ("A-law", PCMA), ("PCM 8 kHz", PCM16_8K), ("PCM 24 kHz", PCM16_24K)):
        yield from fader_cases(name, format)
    yield from level_cases()
    for name, format in (("u-law", PCMU), ("PCM 8 kHz", PCM16_8K), ("PCM 24 kHz", PCM16_24K)):
        yield from conceal_cases(name, format)
    yield from file_cases(folder)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.audio", description=__doc__)
    arguments.add_argument("--json", action="store_true", help="one JSON object: name to microseconds per 20 ms")
    as_json = arguments.parse_args().json
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, work, frames in cases(Path(folder)):
            figures[name] = round(microseconds(work, frames), 2)
            if not as_json:
                print(f"{name:<44}{figures[name]:>9.2f} us", flush=True)
    if as_json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
