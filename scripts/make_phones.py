"""Makes bridge/assets/phones.f16: the network that tells sounds of speech apart, and what each letter may sound like.

    python scripts/make_phones.py SENTENCES.txt [--lib FOLDER]

SENTENCES.txt has one English sentence a line; 1,300 of plain prose were used. They are spoken by five voices of flite
(libflite 2.2, free for any use; `--lib`: where its shared libraries are): slt, rms and awb were recorded, kal and kal16
are diphones. It says when each phone and each word ends. The emulators' voice is none of them: it is what the alignment
is judged by. The network learns classes of phones from sound at several speeds, colours and noise floors, by u-law;
then the words are cut into letters (`bridge/core/sounds.py`) by what it hears, over and over, and each kind of letter
gets the mean of what was heard in it. Prints the usual lengths for `sounds._MS`. Takes two minutes and 2 GB.
"""

from __future__ import annotations

import argparse
import ctypes as c
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.bands import HOP, band_levels, loudness, normalised
from audio.frame import decode, encode
from bridge.core.phones import CLASSES, HIDDEN, OFFSETS, PATH
from bridge.core.sounds import ANY, KINDS, NAMES, PAUSE, Sound, sounds_of

Floats = NDArray[np.float32]

VOICES = {"us_slt": 16000, "us_rms": 16000, "us_awb": 16000, "us_kal": 8000, "us_kal16": 16000}  # Hz
EPOCHS = 4
BATCH = 1024
SPEEDS = (1.0, 0.88, 0.94, 1.07, 1.15)
LEFT_OUT = 0.7  # what an optional sound costs to leave out, as in the alignment
FLOOR = 1e-3  # no class is ruled out

# The classes of flite's phones; of a diphthong the first 60 % are the first.
PHONES = {"pau": "SIL", "er": "ER", "r": "ER", "axr": "ER", "l": "L", "w": "W", "hh": "H"}
PHONES |= dict.fromkeys(("iy", "ih", "y"), "I") | dict.fromkeys(("eh", "ae"), "E") | {"aa": "A", "ao": "O"}
PHONES |= dict.fromkeys(("uw", "uh"), "U") | dict.fromkeys(("ax", "ah"), "X") | dict.fromkeys(("m", "n", "ng"), "N")
PHONES |= dict.fromkeys(("s", "z"), "S") | dict.fromkeys(("sh", "zh", "ch", "jh"), "SH")
PHONES |= dict.fromkeys(("f", "th"), "F") | dict.fromkeys(("v", "dh"), "V")
PHONES |= dict.fromkeys(("p", "t", "k"), "K") | dict.fromkeys(("b", "d", "g"), "G")
PHONES |= {"ey": "E I", "ay": "A I", "aw": "A U", "ow": "O U", "oy": "O I"}


@dataclass
class Said:
    """Sound of one sentence; phones as (name, end) and words as (text, begin, end), in seconds."""

    pcm: NDArray[np.int16]
    rate: int
    phones: list[tuple[str, float]]
    words: list[tuple[str, float, float]]


class _Wave(c.Structure):
    _fields_ = [
        ("type", c.c_char_p),
        ("rate", c.c_int),
        ("size", c.c_int),
        ("channels", c.c_int),
        ("samples", c.POINTER(c.c_short)),
    ]


class _Voice(c.Structure):
    _fields_ = [("name", c.c_char_p), ("features", c.c_void_p)]


class Flite:
    """The few calls of libflite that say what was spoken when."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        parts = [self._load(name) for name in ("", "_usenglish", "_cmulex")]
        self._lib = lib = parts[0]
        pointer, text = c.c_void_p, c.c_char_p
        for name, result, arguments in (
            ("flite_synth_text", pointer, [text, pointer]),
            ("utt_relation", pointer, [pointer, text]),
            ("relation_head", pointer, [pointer]),
            ("item_next", pointer, [pointer]),
            ("item_feat_string", text, [pointer, text]),
            ("item_feat_float", c.c_float, [pointer, text]),
            ("ffeature_float", c.c_float, [pointer, text]),
            ("utt_wave", pointer, [pointer]),
            ("delete_utterance", None, [pointer]),
            ("feat_set_float", None, [pointer, text, c.c_float]),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        lib.flite_init()

    def _load(self, name: str) -> c.CDLL:
        return c.CDLL(str(Path(self._folder) / f"libflite{name}.so.1"), mode=c.RTLD_GLOBAL)

    def voice(self, name: str) -> int:
        register = getattr(self._load(f"_cmu_{name}"), f"register_cmu_{name}")
        register.restype, register.argtypes = c.c_void_p, [c.c_char_p]
        return int(register(None))

    def speak(self, text: str, voice: int, stretch: float, rate: int) -> Said:
        lib = self._lib
        lib.feat_set_float(c.cast(voice, c.POINTER(_Voice)).contents.features, b"duration_stretch", stretch)
        made = lib.flite_synth_text(text.encode(), voice)
        wave = c.cast(lib.utt_wave(made), c.POINTER(_Wave)).contents
        pcm = np.ctypeslib.as_array(wave.samples, (wave.size,)).copy()
        phones = [(self._name(item), lib.item_feat_float(item, b"end")) for item in self._items(made, b"Segment")]
        first = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
        last = b"R:SylStructure.daughtern.daughtern.R:Segment.end"
        words = [
            (self._name(item), lib.ffeature_float(item, first), lib.ffeature_float(item, last))
            for item in self._items(made, b"Word")
        ]
        lib.delete_utterance(made)
        return Said(pcm, rate, phones, words)

    def _items(self, made: int, relation: bytes) -> list[int]:
        out = []
        item = self._lib.relation_head(self._lib.utt_relation(made, relation))
        while item:
            out.append(item)
            item = self._lib.item_next(item)
        return out

    def _name(self, item: int) -> str:
        return str(self._lib.item_feat_string(item, b"name").decode())


def frames(said: Said, speed: float, rng: np.random.Generator) -> Floats:
    """What the network is given of it, played at `speed` over some line."""
    spectrum = np.fft.rfft(said.pcm.astype(np.float64))
    size = int(len(said.pcm) * 8000 / said.rate / speed)
    kept = np.zeros(size // 2 + 1, complex)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    sound = np.fft.irfft(kept, size)
    sound *= 3000 / (np.sqrt(np.mean(sound**2)) + 1e-9) * 10 ** (rng.uniform(-6, 4) / 20)
    sound += rng.uniform(-0.35, 0.35) * np.concatenate([[0], sound[:-1]])
    sound += rng.normal(0, 10 ** rng.uniform(0, 2), size)
    heard = decode(encode(np.clip(sound, -32000, 32000).astype(np.int16), "pcmu"), "pcmu").astype(np.float32)
    heard = heard[: len(heard) // HOP * HOP]
    levels = band_levels(np.concatenate([np.zeros(HOP, np.float32), heard])).astype(np.float32) / 2
    return normalised(levels, loudness(levels))


def labels(said: Said, count: int, speed: float) -> NDArray[np.intp]:
    out = np.zeros(count, np.intp)
    begin = 0.0
    for name, end in said.phones:
        classes = [CLASSES.index(part) for part in PHONES[name].split()]
        low, high = (round(at * 100 / speed) for at in (begin, end))
        middle = high if len(classes) == 1 else round(low + 0.6 * (high - low))
        out[low:middle], out[middle:high] = classes[0], classes[-1]
        begin = end
    return out


def around(part: Floats) -> Floats:
    at = np.clip(np.arange(len(part))[:, None] + np.array(OFFSETS), 0, len(part) - 1)
    return part[at].reshape(len(part), -1)


def trained(inputs: Floats, wanted: NDArray[np.intp], rng: np.random.Generator) -> list[Floats]:
    """Weights of both layers, by Adam with a cosine schedule."""
    sizes = [(inputs.shape[1], HIDDEN), (HIDDEN, len(CLASSES))]
    weights: list[Floats] = []
    for one, two in sizes:
        weights += [rng.normal(0, one**-0.5, (one, two)).astype(np.float32), np.zeros(two, np.float32)]
    mean, square = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    steps = EPOCHS * (len(inputs) // BATCH)
    for step in range(1, steps + 1):
        if step % (steps // EPOCHS) == 1:
            order, at = rng.permutation(len(inputs)), 0
        chosen = order[at : at + BATCH]
        at += BATCH
        hidden = np.maximum(inputs[chosen] @ weights[0] + weights[1], 0)
        error = softmax(hidden @ weights[2] + weights[3])
        error[np.arange(len(chosen)), wanted[chosen]] -= 1
        error /= len(chosen)
        back = (error @ weights[2].T) * (hidden > 0)
        slopes = [inputs[chosen].T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
        rate = 2e-3 * (0.5 * (1 + np.cos(np.pi * step / steps)) + 0.01)
        for weight, slope, m, v in zip(weights, slopes, mean, square, strict=True):
            m += 0.1 * (slope - m)
            v += 0.001 * (slope * slope - v)
            weight -= (rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)).astype(np.float32)
    return weights


def softmax(score: Floats) -> Floats:
    out = np.exp(score - score.max(axis=1, keepdims=True))
    return np.asarray(out / out.sum(axis=1, keepdims=True), np.float32)


def cut(sounds: tuple[Sound, ...], heard: Floats, table: Floats | None) -> list[tuple[int, int, int]]:
    """A word in kinds of sound: kind, begin, end. Without a `table` by usual lengths alone."""
    count = len(heard)
    if table is None:
        row = [sound for sound in sounds if not sound.optional] or list(sounds)
        edges = np.round(np.cumsum([0, *(sound.ms for sound in row)]) / sum(s.ms for s in row) * count).astype(int)
        return [(sound.kind, edges[i], edges[i + 1]) for i, sound in enumerate(row)]
    sums = np.concatenate([np.zeros((1, KINDS)), np.cumsum(heard @ table.T, axis=0)])
    best = np.full(count + 1, -1e9)
    best[0] = 0
    backs = []
    for sound in sounds:  # each lasts two frames at least
        gain = best - sums[:, sound.kind]
        run = np.maximum.accumulate(gain)
        begin = np.maximum.accumulate(np.where(gain >= run, np.arange(count + 1), 0))
        after, back = np.full(count + 1, -1e9), np.zeros(count + 1, int)
        after[2:], back[2:] = run[:-2] + sums[2:, sound.kind], begin[:-2]
        if sound.optional:
            without = best - LEFT_OUT > after
            after[without], back[without] = best[without] - LEFT_OUT, np.flatnonzero(without)
        best = after
        backs.append(back)
    out, at = [], count
    for sound, back in zip(reversed(sounds), reversed(backs), strict=True):
        if back[at] < at:
            out.append((sound.kind, int(back[at]), at))
        at = int(back[at])
    return out


def mixtures(words: list[tuple[tuple[Sound, ...], Floats]], silence: Floats) -> tuple[Floats, list[float]]:
    """Log of the mixture of classes in each kind of sound, and its mean length in ms."""
    table: Floats | None = None
    for _ in range(5):
        total, lengths = np.zeros((KINDS, len(CLASSES))), np.zeros((KINDS, 2))
        for sounds, heard in words:
            for kind, begin, end in cut(sounds, heard, table):
                total[kind] += heard[begin:end].sum(axis=0)
                lengths[kind] += (end - begin, 1)
        total[PAUSE], total[ANY] = silence.sum(axis=0), 1
        total += 4 * total.sum(axis=0) / total.sum()
        table = np.asarray(np.log(np.maximum(total / total.sum(axis=1, keepdims=True), FLOOR)), np.float32)
    assert table is not None
    return table, [float(10 * frames / max(1, count)) for frames, count in lengths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--lib", default="/usr/lib/x86_64-linux-gnu")
    options = parser.parse_args()
    lines = [line.strip() for line in options.sentences.read_text().splitlines() if line.strip()]
    flite, chance, rng = Flite(options.lib), random.Random(3), np.random.default_rng(7)
    said: list[Said] = []
    for number, (name, rate) in enumerate(VOICES.items()):
        voice = flite.voice(name)
        said += [flite.speak(t, voice, chance.choice((0.85, 1, 1, 1.2)), rate) for t in lines[number :: len(VOICES)]]
    inputs, wanted = [], []
    for one in said:
        for speed in rng.choice(SPEEDS, 3):
            inputs.append(around(frames(one, speed, rng)))
            wanted.append(labels(one, len(inputs[-1]), speed))
    weights = trained(np.concatenate(inputs), np.concatenate(wanted), rng)
    words, silence = [], []
    for one in said:
        hidden = np.maximum(around(frames(one, 1.0, rng)) @ weights[0] + weights[1], 0)
        heard = softmax(hidden @ weights[2] + weights[3])
        silence.append(heard[labels(one, len(heard), 1.0) == 0])
        for word, begin, end in one.words:
            part = heard[round(begin * 100) : round(end * 100)]
            if re.fullmatch("[a-z']{2,}|[ai]", word) and len(part) >= 2 * len(sounds_of(word)) > 0:
                words.append((sounds_of(word), part))
    table, lengths = mixtures(words, np.concatenate(silence))
    np.concatenate([part.ravel() for part in (*weights, table)]).astype("<f2").tofile(PATH)
    print({name: round(ms) for name, ms in zip(NAMES, lengths, strict=True)})


if __name__ == "__main__":
    main()
