"""What the caller heard of a reply, as words: its transcript laid along its audio.

Word timings count where the provider gives them. Otherwise the text is aligned with the sound (see `alignment`), which
works while the transcript runs seconds ahead of the audio or behind it. A word counts as heard when its sound is over:
who goes on from there says a word that broke off anew, and never one that was heard to its end.
"""

from __future__ import annotations

from bisect import bisect_right

from audio.envelope import Envelope
from audio.frame import Format
from bridge.core.alignment import FRAME_MS, Alignment, align
from bridge.core.sounds import Word, words_of

PACE_MS = 1000  # of speech, before it tells how slow a voice is
FASTEST, SLOWEST = 0.6, 1.6
SURE_MS = 200  # of sound behind it make the end of a word surer
NEAR = 2  # frames about the end of a word in which a dip is looked for
BACK_DB_MS = 0.02  # how much deeper it must be for every ms further back
SEAM_MS = 20  # played after the last word of a cut


class Transcript:
    """The words of one reply and the outline of its audio. Positions are samples at the leg's rate. `pace` is how
    slowly the voice speaks (1: as usual, more: slower), where earlier replies told."""

    __slots__ = ("_aligned", "_format", "_pieces", "_settled", "_state", "_words", "audio", "complete", "pace")

    def __init__(self, format: Format, pace: float | None = None) -> None:
        self._format = format
        self._pieces: list[tuple[int | None, str]] = []
        self._state: tuple[int, int, bool] = (0, 0, False)  # what `_aligned` was made from
        self._aligned = Alignment()
        self._settled: str | None = None
        self._words: list[Word] = []
        self.pace = pace
        self.audio = Envelope(format)
        self.complete = False

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in self._pieces)

    def add(self, text: str, at_ms: int | None = None) -> None:
        """`at_ms`: where in the reply's audio this word (or these few) begins."""
        self._pieces.append((at_ms, text))

    def upto(self, samples: int) -> str:
        """The text heard when `samples` of the audio were heard, cut at a word boundary."""
        if self._settled is not None:
            return self._settled
        if samples <= 0:
            return ""
        if self.complete and samples >= self.audio.samples:
            return self.text.strip()
        if self._timed:
            count = self._timed_heard(samples)[0]
            return " ".join("".join(piece for _, piece in self._pieces[:count]).split())
        spoken = self._alignment().spoken(samples * 1000 / self._format.rate)
        return " ".join(self.text[: self._words[spoken - 1].end].split()) if spoken else ""

    def seam(self, samples: int, sent: int, back_ms: int) -> int | None:
        """Where to cut what was not `sent` of `samples`, so that no word is broken: just after a word that ends within
        the last `back_ms`, or where no word is known there, at a pause. None without either."""
        rate = self._format.rate
        if self._timed:
            end = self._timed_heard(samples)[1]
        else:
            end = self._last_end(samples * 1000 // rate, sent * 1000 // rate, back_ms) * rate // 1000
        if end <= samples - back_ms * rate // 1000:
            pause = self.audio.pause_before(samples, back_ms)
            if pause is None or pause < sent:
                return None
            end = pause
        return max(sent, min(samples, end + SEAM_MS * rate // 1000))

    def _last_end(self, ms: int, sent_ms: int, back_ms: int) -> int:
        """The end of a word within `back_ms` before `ms`; 0 without any. Of those after `sent_ms` the surest: where the
        sound dips most, and some of what follows is known."""
        ends = [end for end in self._alignment().ends if ms - back_ms < end <= ms]
        unsent = [end for end in ends if end >= sent_ms] or ends[-1:]
        level = self.audio.outline()[0]

        def height(end: int) -> float:
            at = end // FRAME_MS
            return float(level[max(0, at - NEAR) : at + NEAR + 1].min()) + (ms - end) * BACK_DB_MS

        return min([end for end in unsent if end <= ms - SURE_MS] or unsent, key=height, default=0)

    @property
    def _timed(self) -> bool:
        return bool(self._pieces) and all(at is not None for at, _ in self._pieces)

    def _timed_heard(self, samples: int) -> tuple[int, int]:
        """How many timed words were over by then, and where the last of them ended."""
        starts = [at * self._format.rate // 1000 for at, _ in self._pieces if at is not None]
        for count in range(bisect_right(starts, samples), 0, -1):
            end = self._timed_end(starts, count)
            if end <= samples:
                return count, end
        return 0, 0

    def _timed_end(self, starts: list[int], count: int) -> int:
        """Where the word before `starts[count]` ended: there, or where the pause before it began. The last word known
        may still be sounding."""
        following = starts[count] if count < len(starts) else self.audio.samples
        silent = self.audio.silence_until(following)
        if silent is not None and silent > starts[count - 1]:
            return silent
        return following if count < len(starts) or self.complete else self.audio.samples + 1

    def _alignment(self) -> Alignment:
        state = (self.audio.samples, len(self._pieces), self.complete)
        if state != self._state:
            self._state = state
            self._words = words_of(self.text)
            level, bright = self.audio.outline()
            pace = self.measured_pace() or self.pace or 1.0
            self._aligned = align(level, bright, self._words, self.complete, pace)
        return self._aligned

    def measured_pace(self) -> float | None:
        """The pace of a complete reply of some length."""
        voiced = self.audio.voiced() if self.complete else 0
        usual = sum(sound.ms for word in words_of(self.text) for sound in word.sounds)
        return min(SLOWEST, max(FASTEST, voiced / usual)) if voiced >= PACE_MS <= usual else None

    def settle(self, samples: int) -> None:
        """No more is added, and no other part of it will be heard than these samples."""
        self._settled = self.upto(samples)
        self.audio.forget_outline()
        self._words, self._aligned = [], Alignment()
