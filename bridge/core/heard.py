"""What the caller heard of a reply, as words: its transcript laid along its audio.

Word timings count where the provider gives them. Otherwise the text is laid along the speech by its pauses (see
`alignment`), with the speaker's rate measured on the whole reply once it is complete; before that it is the rate of
earlier replies of the same voice, because transcripts run up to seconds ahead of the audio or behind it.
"""

from __future__ import annotations

from audio.envelope import Envelope
from audio.frame import Format
from bridge.core.alignment import Text, letters_at

LETTERS_PER_S = 17.0  # of speech, pauses left out
PAUSE_MS = 100
IN_STEP = 0.2  # transcript and audio keep step when their ratio is this near to the usual rate


class Transcript:
    """The words of one reply and the outline of its audio. Positions are samples at the leg's rate."""

    __slots__ = ("_format", "_pieces", "_rate", "audio", "complete")

    def __init__(self, format: Format, letters_per_s: float | None = None) -> None:
        self._format = format
        self._pieces: list[tuple[int | None, str]] = []
        self._rate = letters_per_s
        self.audio = Envelope(format)
        self.complete = False

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in self._pieces)

    def add(self, text: str, at_ms: int | None = None) -> None:
        self._pieces.append((at_ms, text))

    def upto(self, samples: int) -> str:
        """The text heard when `samples` of the audio were heard, cut at a word boundary."""
        if samples <= 0:
            return ""
        if self.complete and samples >= self.audio.samples:
            return self.text.strip()
        if self._pieces and all(at is not None for at, _ in self._pieces):
            return self._timed(samples * 1000 / self._format.rate)
        speech_ms = self.audio.voiced(samples)
        if not speech_ms:
            return ""
        text = Text(self.text)
        pauses = self.audio.pauses(self.audio.samples, PAUSE_MS)
        return text.upto(letters_at(speech_ms, pauses, text.stops, self._letters_per_ms(text), self.complete))

    def _timed(self, heard_ms: float) -> str:
        """Words whose successor has begun; the word being spoken does not count."""
        starts = [at for at, _ in self._pieces if at is not None]
        count = sum(1 for at in starts[1:] if at <= heard_ms)
        return "".join(piece for _, piece in self._pieces[:count]).strip()

    def _letters_per_ms(self, text: Text) -> float:
        if self.complete:
            return text.letters / max(1, self.audio.voiced())
        usual = (self._rate or LETTERS_PER_S) / 1000
        measured = text.letters / max(1, self.audio.voiced())
        return measured if abs(measured / usual - 1) <= IN_STEP else usual

    @property
    def letters_per_s(self) -> float | None:
        """The speaker's rate, measured on a complete reply of some length; what was given before that."""
        voiced = self.audio.voiced()
        text = Text(self.text)
        if self.complete and voiced > 1000 and text.letters > 10:
            return text.letters * 1000 / voiced
        return self._rate
