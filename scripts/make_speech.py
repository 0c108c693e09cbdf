"""Makes the synthetic speech kept in the repository: replies and phrases for the bridge, callers for test calls.

    python scripts/make_speech.py [--only replies|phrases|callers]

Needs the extra `[voice]` (hibari-tts, Apache-2.0; no download: the voice is in its wheel). What is said stands in
fixtures/speech/texts.yaml. Word times come from the synthesiser's own phoneme durations, so they are exact to one of
its frames (25 ms).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml
from hibari import dsp
from hibari.tts import ASSETS, Hibari
from numpy.typing import NDArray

from bridge.fakes.numbered import number_speech

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ROOT / "fixtures" / "speech" / "texts.yaml"
ASSETS_OUT = ROOT / "bridge" / "assets"
CALLERS_OUT = ROOT / "fixtures" / "callers"
RATE = 24000
BLOCK = 480  # clips are whole multiples of 20 ms, so that every telephone rate divides them
FRAME = 600  # samples per duration unit of the synthesiser (25 ms)
DURATIONS = "/Clip_output_0"  # the tensor that holds the phoneme durations
LEVEL = 0.09  # RMS of the spoken parts, about -21 dBFS
NOISE = 8.0  # line noise of the scripted caller, in steps of a 16-bit sample (about -72 dBFS)
VOICE_SHIFT = 1.19  # the callers' voice is the same model, slower and deeper by this factor

Wave = NDArray[np.float32]


@dataclass
class Clip:
    """Speech at 24 kHz with its words and where each begins and ends, in samples."""

    wave: Wave
    words: list[tuple[str, int, int]]


class Voice:
    """The synthesiser, with the phoneme durations made visible."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "durations.onnx"
            model.write_bytes(expose_output((Path(ASSETS) / "hibari.onnx").read_bytes(), DURATIONS))
            self._tts = Hibari(model=str(model))

    def speak(self, text: str, speed: float, seed: int) -> Clip:
        """Each sentence of `text`, with its own pauses between the words and 200 ms between sentences."""
        waves: list[Wave] = []
        words: list[tuple[str, int, int]] = []
        at = 0
        for sentence in self._tts.split_sentences(text):
            clip = self._sentence(sentence, speed, seed)
            words += [(word, begin + at, end + at) for word, begin, end in clip.words]
            gap = np.zeros(RATE // 5, np.float32)
            waves += [clip.wave, gap]
            at += len(clip.wave) + len(gap)
        return Clip(np.concatenate(waves[:-1]), words)

    def _sentence(self, text: str, speed: float, seed: int) -> Clip:
        (phonemes,) = self._tts.phonemize(text)
        known = [symbol for symbol in phonemes if symbol in self._tts.vocab]
        feed = {
            "ids": np.asarray([self._tts.ids(phonemes)], np.int64),
            "speed": np.asarray([speed], np.float32),
        }
        *spectra, f0, durations = self._tts.sess.run(None, feed)
        wave = dsp.synth(*(part[0] for part in spectra), f0[0], np.random.default_rng(seed))
        edges = np.concatenate([[0], np.cumsum(durations)]).astype(int) * FRAME
        if edges[-1] != len(wave):
            raise ValueError(f"durations cover {edges[-1]} of {len(wave)} samples of {text!r}")
        words = word_spans(text, known, edges)
        return trimmed(np.asarray(wave, np.float32), words)


def expose_output(model: bytes, name: str) -> bytes:
    """An ONNX model with one more output: the float vector `name`, which its graph computes anyway.

    Protocol buffer framing only: field 7 of the model is the graph, field 12 of the graph an output."""
    kind = field(2, field(1, bytes([8, 1])))  # tensor type, element type float, shape open
    output = field(12, field(1, name.encode()) + kind)
    parts: list[bytes] = []
    at = 0
    while at < len(model):
        begin = at
        key, at = varint(model, at)
        size, at = varint(model, at)
        if key & 7 == 2:
            body = model[at : at + size]
            at += size
            parts.append(field(7, body + output) if key >> 3 == 7 else model[begin:at])
        else:
            parts.append(model[begin:at])
    return b"".join(parts)


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def field(number: int, body: bytes) -> bytes:
    """A length-delimited protocol buffer field."""
    out = bytearray([number << 3 | 2])
    size = len(body)
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out) + body


def word_spans(text: str, symbols: list[str], edges: NDArray[np.int_]) -> list[tuple[str, int, int]]:
    """The words of `text` with begin and end in samples; `edges[i]` is where token i (0 is the leading pad) begins."""
    groups: list[tuple[int, int]] = []
    begin = 1
    for token, symbol in enumerate([*symbols, " "], start=1):
        if symbol == " ":
            if token > begin:
                groups.append((begin, token))
            begin = token + 1
    words = text.split()
    if len(groups) != len(words):
        raise ValueError(f"{len(words)} words but {len(groups)} spoken groups in {text!r}")
    spans = []
    for word, (first, last) in zip(words, groups, strict=True):
        stop = last
        while stop > first + 1 and symbols[stop - 2] in ".,;:!?—…":
            stop -= 1  # the pause of a comma is not the word
        spans.append((word, int(edges[first]), int(edges[stop])))
    return spans


def trimmed(wave: Wave, words: list[tuple[str, int, int]]) -> Clip:
    """From 20 ms before the first word to 60 ms after the last, faded, at the common level, in whole blocks."""
    begin = max(0, words[0][1] - BLOCK)
    end = min(len(wave), words[-1][2] + 3 * BLOCK)
    part = wave[begin:end].copy()
    fade = np.linspace(0.0, 1.0, 120, dtype=np.float32)
    part[:120] *= fade
    part[-120:] *= fade[::-1]
    part = np.pad(part, (0, -len(part) % BLOCK))
    loud = part[np.abs(part) > 0.02]
    part *= LEVEL / float(np.sqrt(np.mean(loud**2)))
    return Clip(np.clip(part, -0.98, 0.98), [(word, one - begin, two - begin) for word, one, two in words])


def resampled(wave: Wave, step: float, cutoff: float) -> Wave:
    """Reads `wave` every `step` samples through a windowed sinc of 64 taps; `cutoff` in parts of its own band."""
    times = np.arange(0, len(wave) - 1, step)
    base = np.floor(times).astype(int)
    taps = np.arange(-31, 33)
    padded = np.pad(wave, 40)
    out = np.zeros(len(times), np.float64)
    for tap in taps:
        distance = base + tap - times
        window = np.cos(np.pi * np.clip(distance / 33, -0.5, 0.5)) ** 2
        out += padded[base + tap + 40] * np.sinc(distance * cutoff) * cutoff * window
    return out.astype(np.float32)


def to_int16(wave: Wave) -> NDArray[np.int16]:
    return np.asarray(np.round(wave * 32767), np.int16)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def ms(samples: int, rate: int = RATE) -> float:
    return round(samples * 1000 / rate, 1)


def make_replies(voice: Voice, texts: dict[str, Any]) -> None:
    """All clips one after another in one file, with an index of names, words and times."""
    said = dict(texts["clips"])
    said.update({f"n_{word}": word for word in texts["numbers"]})
    index: dict[str, Any] = {}
    waves: list[Wave] = []
    at = 0
    for seed, (name, text) in enumerate(said.items()):
        clip = voice.speak(text, texts["speed"], seed)
        index[name] = {
            "text": text,
            "begin": at,
            "samples": len(clip.wave),
            "words": [[word, ms(one), ms(two)] for word, one, two in clip.words],
        }
        waves.append(clip.wave)
        at += len(clip.wave)
    out = ASSETS_OUT / "speech"
    soundfile.write(out / "replies.flac", to_int16(np.concatenate(waves)), RATE)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in index.items())
    sentences = json.dumps(texts["sentences"])
    (out / "replies.json").write_text(f'{{"rate": {RATE}, "sentences": {sentences}, "clips": {{\n{lines}\n}}}}\n')


def make_phrases(voice: Voice, texts: dict[str, Any]) -> None:
    out = ASSETS_OUT / "phrases"
    words = {}
    for name, text in texts["phrases"].items():
        clip = voice.speak(text, texts["speed"], 7)
        soundfile.write(out / f"{name}.wav", to_int16(clip.wave), RATE)  # what a server reads without libsndfile
        words[name] = {"text": text, "words": [[word, ms(one), ms(two)] for word, one, two in clip.words]}
    write_json(out / "phrases.json", words)


def make_callers(voice: Voice, texts: dict[str, Any]) -> None:
    """Single questions, and one scripted caller whose turns carry the numbers 1, 2, 3..."""
    spoken: dict[str, NDArray[np.int16]] = {}
    for seed, (name, text) in enumerate(texts["callers"].items()):
        clip = voice.speak(text, VOICE_SHIFT * texts["speed"], 100 + seed)
        deep = resampled(clip.wave, 3.0 / VOICE_SHIFT, VOICE_SHIFT / 3.0 * 0.92)
        spoken[name] = to_int16(np.pad(deep, (0, -len(deep) % 160)))
        soundfile.write(CALLERS_OUT / f"{name}.flac", spoken[name], 8000)
        entry = {"text": text, "seconds": len(spoken[name]) / 8000}
        scale = VOICE_SHIFT / 3.0
        entry["words"] = [
            [word, ms(int(begin * scale), 8000), ms(int(end * scale), 8000)] for word, begin, end in clip.words
        ]
        write_json(CALLERS_OUT / f"{name}.json", entry)
    parts: list[NDArray[np.int16]] = []
    turns = []
    at = 0
    for gap, name in texts["caller_questions"]:
        parts.append(np.zeros(int(gap * 8000), np.int16))
        at += len(parts[-1])
        if name is not None:
            number = len(turns) + 1
            parts.append(number_speech(spoken[name], number))
            turns.append(
                {
                    "number": number,
                    "text": texts["callers"][name],
                    "begin_s": at / 8000,
                    "end_s": (at + len(parts[-1])) / 8000,
                }
            )
            at += len(parts[-1])
    line = np.concatenate(parts) + np.round(np.random.default_rng(3).normal(0.0, NOISE, at))
    soundfile.write(ASSETS_OUT / "callers" / "caller_questions.flac", line.astype(np.int16), 8000)
    write_json(ASSETS_OUT / "callers" / "caller_questions.json", {"rate": 8000, "seconds": at / 8000, "turns": turns})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["replies", "phrases", "callers"])
    only = parser.parse_args().only
    texts = yaml.safe_load(TEXTS.read_text())
    voice = Voice()
    for name, make in (("replies", make_replies), ("phrases", make_phrases), ("callers", make_callers)):
        if only in (None, name):
            make(voice, texts)


if __name__ == "__main__":
    main()
