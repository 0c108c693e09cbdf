"""What the caller heard of a reply, as words: its transcript laid along its audio.

Word timings count where the provider gives them. Otherwise text is spread over the speech in the audio (pauses take no
text): in proportion once the reply is complete, or while text and audio keep step; otherwise at the speaker's rate,
because transcripts run up to seconds ahead of the audio or behind it.
"""

from __future__ import annotations

from audio.envelope import Envelope
from audio.frame import Format

CHARS_PER_VOICED_S = 15.0
IN_STEP = 0.25  # text and audio keep step when their ratio is this near to the speaker's rate


class Transcript:
    """The words of one reply and the outline of its audio. Positions are samples at the leg's rate."""

    __slots__ = ("_format", "_pieces", "_rate", "audio", "complete")

    def __init__(self, format: Format, chars_per_s: float = CHARS_PER_VOICED_S) -> None:
        self._format = format
        self._pieces: list[tuple[int | None, str]] = []
        self._rate = chars_per_s
        self.audio = Envelope(format)
        self.complete = False

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in self._pieces)

    def add(self, text: str, at_ms: int | None = None) -> None:
        self._pieces.append((at_ms, text))

    def upto(self, samples: int) -> str:
        """The text heard when `samples` of the audio were heard, cut down to a word boundary."""
        if samples <= 0:
            return ""
        if self.complete and samples >= self.audio.samples:
            return self.text.strip()
        if self._pieces and all(at is not None for at, _ in self._pieces):
            heard_ms = samples * 1000 / self._format.rate
            return self._timed(heard_ms)
        return self._spread(samples)

    def _timed(self, heard_ms: float) -> str:
        """Words whose successor has begun; the word being spoken does not count."""
        starts = [at for at, _ in self._pieces if at is not None]
        count = sum(1 for at in starts[1:] if at <= heard_ms)
        return "".join(piece for _, piece in self._pieces[:count]).strip()

    def _spread(self, samples: int) -> str:
        text = self.text
        total = self.audio.voiced()
        heard = self.audio.voiced(samples)
        if not total or not heard:
            return ""
        in_step = abs(len(text) * 1000 / total / self._rate - 1) <= IN_STEP
        share = len(text) * heard / total if self.complete or in_step else heard * self._rate / 1000
        return cut_at_word(text, round(share))

    @property
    def chars_per_s(self) -> float:
        """The speaker's rate, measured on a complete reply; the rate given before that."""
        voiced = self.audio.voiced()
        if self.complete and voiced > 1000 and len(self.text) > 10:
            return len(self.text) * 1000 / voiced
        return self._rate


def cut_at_word(text: str, index: int) -> str:
    """The first `index` characters without a trailing part of a word."""
    if index >= len(text):
        return text.strip()
    cut = text[:index]
    if text[index].isspace() or not cut or cut[-1].isspace():
        return cut.strip()
    head, _, _ = cut.rpartition(" ")
    return head.strip()
