"""The emulators' speech as a reply that arrives: its sound in chunks, its transcript ahead of it or behind."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from audio.frame import PCMU, decode
from bridge.core.heard import Transcript
from bridge.fakes.answers import clip, words
from bridge.fakes.speech import QUIETEST, Spoken, bank, filler, number_words

CHUNK_MS = 100


@dataclass(frozen=True)
class Speech:
    """`ends`: where the sound of each word is over, ms; the silence before the next word is no part of it."""

    spoken: Spoken
    data: bytes
    begins: tuple[float, ...]
    ends: tuple[float, ...]

    @property
    def ms(self) -> int:
        return len(self.data) // 8

    def transcript(
        self, audio_ms: float, text_ms: float, complete: bool = False, pace: float | None = None
    ) -> Transcript:
        """What has arrived when there are `audio_ms` of sound and the words that begin in the first `text_ms`."""
        made = Transcript(PCMU, pace)
        for begin in range(0, int(audio_ms) * 8, CHUNK_MS * 8):
            made.push(self.data[begin : min(begin + CHUNK_MS * 8, int(audio_ms) * 8)])
        for index, begin_ms in enumerate(self.begins):
            if begin_ms <= text_ms:
                made.add((" " if index else "") + self.spoken.words[index].text)
        made.complete = complete
        return made

    def off_ms(self, text: str, heard_ms: float) -> float:
        """How far from `heard_ms` a cut would have to be for `text` to be exactly the words that were over; more than
        0 where it is too long, less where it is too short."""
        count = len(text.split())
        assert text.split() == [word.text for word in self.spoken.words[:count]]
        if count and self.ends[count - 1] > heard_ms:
            return self.ends[count - 1] - heard_ms
        return min(0.0, (self.ends[count] if count < len(self.ends) else float("inf")) - heard_ms)


def speech(rng: random.Random, seconds: tuple[int, ...] = (6, 10, 16)) -> Speech:
    """Some reply of the emulators: sentences, in half of all cases behind a number that was asked about."""
    spoken = filler(rng.randint(0, 7), rng.choice(seconds))
    if rng.random() < 0.5:
        spoken = clip("asked") + words(number_words(rng.randint(0, 999)) + ".") + spoken
    return speech_of(spoken)


def speech_of(spoken: Spoken) -> Speech:
    data = bank().audio(spoken, PCMU)
    loud = np.flatnonzero(np.abs(decode(data, "pcmu").astype(np.int32)) > QUIETEST) / 8
    ends = []
    for word in spoken.words:
        last = loud[: np.searchsorted(loud, word.end / 24)]
        ends.append(float(last[-1]) if len(last) and last[-1] > word.begin / 24 else word.end / 24)
    return Speech(spoken, data, tuple(word.begin / 24 for word in spoken.words), tuple(ends))
