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
from bridge.core.numbers import is_english
from bridge.core.sounds import Word, words_of

PACE_MS = 1000  # of speech, before it tells how slow a voice is
FASTEST, SLOWEST = 0.6, 1.6
EASY = 1.2  # lengths are laid out this much slower than measured: a drawn-out word costs more than a hurried one
BACK_MS = 600  # so far back a pause is looked for where no word is known
SEAM_MS = 40  # played after the last word of a cut: where its end is not quite right, it is early
PAUSE_MS = 200  # ... at most, of the pause after it

# What a place is worth. Most ends that are misjudged have a margin below 6 (`Alignment.sure`), hardly any above 12.
SURE = 15.0  # more margin is worth no more
REACH_MS = 6000  # so far back a sure place is looked for
STOP_WORTH = 1.0  # the end of a sentence or part of it: there a change of voice is heard least
LATE_WORTH = 0.001  # per ms that is kept
COVER_WORTH = 0.02  # per ms of silence that is spared

STRETCH_MS = 7000  # aligned at a time; what lies before is settled at the surest end of a word
SETTLED_MS = 3000  # of sound behind a word, and it can be settled
WINDOW_MS = 2500  # of sound before that in which the place is looked for
RETRY_MS = 2000  # of further sound, and it is tried again
ENOUGH = 5.0  # margin of a word to go on from


class Transcript:
    """The words of one reply and the outline of its audio. Positions are samples at the leg's rate. `pace` is how
    slowly the voice speaks (1: as usual, more: slower), where earlier replies told."""

    __slots__ = (
        "_aligned",
        "_fixed",
        "_format",
        "_pieces",
        "_settled",
        "_state",
        "_tried",
        "_weighed",
        "_words",
        "audio",
        "complete",
        "pace",
    )

    def __init__(self, format: Format, pace: float | None = None) -> None:
        self._format = format
        self._pieces: list[tuple[int | None, str]] = []
        self._state: tuple[int, int, bool, int | None] = (0, 0, False, None)  # what `_aligned` was made from
        self._weighed: int | None = None
        self._aligned = Alignment()
        self._fixed = Alignment()  # words that are not aligned again
        self._tried = 0  # ms at which it was tried to fix more
        self._settled: str | None = None
        self._words: list[Word] = []
        self.pace = pace
        self.audio = Envelope(format)
        self.complete = False

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in self._pieces)

    def add(self, text: str, at_ms: int | None = None) -> None:
        """`at_ms`: where in the reply's audio this word (or these few) begins; such words may come without spaces."""
        if at_ms is not None and self._pieces and text[:1].isalnum() and not self._pieces[-1][1][-1:].isspace():
            text = " " + text
        self._pieces.append((at_ms, text))

    def push(self, data: bytes) -> None:
        """Audio of the reply: wire bytes, a whole number of samples."""
        self.audio.push(data)
        ms = self.audio.samples * 1000 // self._format.rate
        if ms > STRETCH_MS + max((0, *self._fixed.ends[-1:])) and ms >= self._tried + RETRY_MS:
            self._tried = ms
            self._fix(ms)

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

    def seam(self, samples: int, sent: int, cover_ms: int) -> int | None:
        """Where to cut what was not `sent` of `samples`, so that no word is broken and its text is sure: just after a
        word, or where none is known, at a pause. None without either. What is cut is said again by who goes on, so it
        may be seconds, as long as `cover_ms` of what was not sent are left to be played meanwhile. Which words `upto`
        counts there is weighed by how sure their ends are, from now on."""
        rate = self._format.rate
        if self._timed:
            end = self._timed_heard(samples)[1]
            least = min(samples - BACK_MS * rate // 1000, sent + cover_ms * rate // 1000)
            cut = end + SEAM_MS * rate // 1000 if end > least else None
        else:
            place = self._surest(samples * 1000 // rate, sent * 1000 // rate, cover_ms)
            cut = place * rate // 1000 if place is not None else None
        if cut is None:
            pause = self.audio.pause_before(samples, BACK_MS)
            if pause is None or pause < sent:
                return None
            cut = pause + SEAM_MS * rate // 1000
        return max(sent, min(samples, cut))

    def _surest(self, ms: int, sent_ms: int, cover_ms: int) -> int | None:
        """The best place (ms) between `sent_ms` and `ms` to cut after a word; None where no word ends there."""
        since = max(sent_ms, ms - REACH_MS)
        found = self._alignment(since)
        best: tuple[float, int] | None = None
        for word, end in enumerate(found.ends):
            if since <= end <= ms:
                worth = min(found.sure[word], SURE) + STOP_WORTH * self._words[word].stop
                worth += LATE_WORTH * end - COVER_WORTH * max(0, cover_ms - (end - sent_ms))
                if best is None or worth > best[0]:
                    best = worth, word
        if best is None:
            return None
        end = found.ends[best[1]]
        following = found.begins[best[1] + 1] if best[1] + 1 < len(found.begins) else end
        return end + max(SEAM_MS, min(PAUSE_MS, (following - end) // 2))

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

    def _alignment(self, since: int | None = None) -> Alignment:
        """`since`: from there (ms) on it is weighed how sure each end is, now and whenever it is done again."""
        self._weighed = self._weighed if since is None else since
        state = (self.audio.samples, len(self._pieces), self.complete, self._weighed)
        if state != self._state:
            self._state = state
            self._aligned = self._align(self._weighed)
        return self._aligned

    def _align(self, since: int | None = None) -> Alignment:
        fixed = self._fixed
        known = self._words[: len(fixed.ends)]
        behind = known[-1].end if known else 0
        text = self.text
        words = words_of(text[behind:], is_english(text))
        self._words = known + [word._replace(end=word.end + behind) for word in words]
        begin = fixed.ends[-1] if known else 0
        pace = self.measured_pace() or self.pace or 1.0
        bands = self.audio.outline(begin // FRAME_MS)
        found = align(bands, words, self.complete, pace, None if since is None else since - begin)
        return fixed.followed_by(found, begin)

    def _fix(self, ms: int) -> None:
        """Bounds what is aligned at a time."""
        if self._timed:
            return
        latest = ms - SETTLED_MS
        earliest = latest - WINDOW_MS
        found = self._align(earliest)
        whole = min(len(found.ends), len(self._words) - 1)  # the last known may not be whole yet
        words = range(len(self._fixed.ends), whole)
        known = [word for word in words if earliest < found.ends[word] <= latest]
        last = max(known, key=lambda word: min(found.sure[word], SURE) + LATE_WORTH * found.ends[word], default=None)
        if last is not None and found.sure[last] >= ENOUGH:
            self._fixed = found.upto(last + 1)
            self._state = (0, 0, False, None)

    def measured_pace(self) -> float | None:
        """The pace of a complete reply of some length."""
        if not self.complete:
            return None
        voiced = self.audio.voiced()
        usual = sum(sound.ms for word in words_of(self.text, is_english(self.text)) for sound in word.sounds)
        return min(SLOWEST, max(FASTEST, EASY * voiced / usual)) if voiced >= PACE_MS <= usual else None

    def settle(self, samples: int) -> None:
        """No more is added, and no other part of it will be heard than these samples."""
        self._settled = self.upto(samples)
        self.audio.forget_outline()
        self._words, self._aligned, self._fixed = [], Alignment(), Alignment()
