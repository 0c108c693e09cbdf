"""The emulators' voice: text in, speech with word times out, put together from the clips in bridge/assets/speech.

Clips are cut and joined at word boundaries only, so where each word lies in the sound is exact. Every format is made
once a process, for all clips at once; a reply is then a join of byte slices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import orjson
import soundfile

from audio.frame import Format, Pcm, encode
from audio.resample import convert

ASSETS = Path(__file__).resolve().parent.parent / "assets"
RATE = 24000
JOIN = 1440  # silence between two clips: 60 ms
QUIETEST = 300  # what is softer than this at the end of a clip is not heard as part of its last word
_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_SMALL += ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@dataclass(frozen=True, slots=True)
class Word:
    """`text` as written, punctuation included; `begin` and `end` in samples at 24 kHz from the begin of the speech."""

    text: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """Speech: its words, and where its sound lies on the tape as (begin, end) at 24 kHz; (-1, n): n of silence."""

    words: tuple[Word, ...] = ()
    pieces: tuple[tuple[int, int], ...] = ()

    @property
    def samples(self) -> int:
        """Length at 24 kHz."""
        return sum(end - begin if begin >= 0 else end for begin, end in self.pieces)

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def __add__(self, other: Spoken) -> Spoken:
        """This, 60 ms of silence, then the other."""
        if not self.words or not other.words:
            return self if self.words else other
        shift = self.samples + JOIN
        moved = tuple(Word(word.text, word.begin + shift, word.end + shift) for word in other.words)
        return Spoken(self.words + moved, (*self.pieces, (-1, JOIN), *other.pieces))

    def cut(self, first: int, last: int | None = None) -> Spoken:
        """The words `first` up to (not including) `last`, cut in the pauses around them."""
        words = self.words[first:last]
        if not words:
            return Spoken()
        stop = first + len(words)
        begin = 0 if first == 0 else words[0].begin
        end = self.samples if stop == len(self.words) else self.words[stop].begin
        pieces = []
        at = 0
        for one, two in self.pieces:
            size = two - one if one >= 0 else two
            low, high = max(begin, at) - at, min(end, at + size) - at
            if high > low:
                pieces.append((one + low, one + high) if one >= 0 else (-1, high - low))
            at += size
        return Spoken(tuple(Word(w.text, w.begin - begin, w.end - begin) for w in words), tuple(pieces))


def plain(word: str) -> str:
    """A word as it is looked up: lower case, letters, digits and inner apostrophes only."""
    return re.sub(r"[^a-z0-9']", "", word.lower().replace("’", "'")).strip("'")


def words_of(text: str) -> list[str]:
    """Looked-up words of a text, numbers written in digits spelled out (0..999)."""
    out: list[str] = []
    for token in re.split(r"[\s—–-]+", text):
        word = plain(token)
        if word.isdigit() and len(word) <= 3:
            out += number_words(int(word)).split()
        elif word:
            out.append(word)
    return out


def number_words(n: int) -> str:
    """0..999 in words, American style: "one hundred thirty seven". Raises ValueError outside."""
    if not 0 <= n <= 999:
        raise ValueError(f"only 0 to 999 can be spoken, not {n}")
    if n >= 100:
        rest = f" {number_words(n % 100)}" if n % 100 else ""
        return f"{_SMALL[n // 100]} hundred{rest}"
    if n < 20:
        return _SMALL[n]
    return _TENS[n // 10 - 2] + (f" {_SMALL[n % 10]}" if n % 10 else "")


def numbers_in(text: str) -> list[int]:
    """The numbers a transcript names, in words or digits: "about number thirty seven" -> [37]."""
    found: list[int] = []
    value: int | None = None
    last = 0  # what the previous word was worth: a number grows only by something smaller
    for word in [*words_of(text), ""]:
        if word == "hundred" and value is not None and last and last < 10:
            value = value - last + last * 100
            last = 100
            continue
        worth = _SMALL.index(word) if word in _SMALL else (_TENS.index(word) + 2) * 10 if word in _TENS else None
        joins = value is not None and worth and (last == 100 or (last >= 20 and worth < 10))
        if worth is not None and joins and value is not None:
            value += worth
        else:
            if value is not None:
                found.append(value)
            value = worth
        last = worth or 0
    return found


def answered(text: str) -> list[int]:
    """The questions a reply answers: "You asked about number three and about number four. ..." -> [3, 4]."""
    parts = re.split(r"\bnumber\s+", text)[1:]
    return [found[0] for part in parts if (found := numbers_in(part))]


def _spelled(token: str) -> list[str]:
    """A number in digits as words, what follows it kept on the last one; anything else as it is."""
    digits = plain(token)
    if not digits.isdigit() or len(digits) > 3:
        return [token]
    words = number_words(int(digits)).split()
    return [*words[:-1], words[-1] + token[token.rindex(digits[-1]) + 1 :]]


class Bank:
    """All clips on one tape, and every word in them."""

    def __init__(self, folder: Path = ASSETS / "speech") -> None:
        index = orjson.loads((folder / "replies.json").read_bytes())
        data, rate = soundfile.read(folder / "replies.flac", dtype="int16")
        if rate != RATE or index["rate"] != RATE:
            raise ValueError(f"{folder} is not at {RATE} Hz")
        self._pcm: Pcm = np.asarray(data, np.int16)
        self.clips: dict[str, Spoken] = {}
        self._phrases: dict[tuple[str, ...], Spoken] = {}
        for name, entry in index["clips"].items():
            words = tuple(
                Word(text, round(begin * RATE / 1000), round(end * RATE / 1000)) for text, begin, end in entry["words"]
            )
            clip = self._closed(Spoken(words, ((entry["begin"], entry["begin"] + entry["samples"]),)))
            self.clips[name] = clip
            self._phrases.setdefault(tuple(plain(word.text) for word in words), clip)
        self.sentences = [self.clips[name] for name in index["sentences"]]
        for clip in list(self.clips.values()):
            for i, word in enumerate(clip.words):
                self._phrases.setdefault((plain(word.text),), clip.cut(i, i + 1))
        self._longest = max(len(key) for key in self._phrases)
        self._tapes: dict[Format, bytes] = {}

    def _closed(self, clip: Spoken) -> Spoken:
        """A clip that another one goes on ends with its sound: nobody pauses in the middle of a phrase."""
        last = clip.words[-1]
        if last.text[-1] in ".,?!":
            return clip
        begin, end = clip.pieces[0]
        loud = np.flatnonzero(np.abs(self._pcm[begin:end].astype(np.int32)) > QUIETEST)
        stop = min(last.end, int(loud[-1]) + RATE // 100) if len(loud) else last.end
        return Spoken((*clip.words[:-1], Word(last.text, last.begin, stop)), ((begin, begin + stop),))

    def say(self, text: str) -> Spoken | None:
        """`text` spoken, its own spelling kept in the words; None when it holds a word that no clip has."""
        tokens = [word for token in re.split(r"[\s—–-]+", text) if plain(token) for word in _spelled(token)]
        spoken = Spoken()
        at = 0
        while at < len(tokens):
            for size in range(min(self._longest, len(tokens) - at), 0, -1):
                found = self._phrases.get(tuple(plain(token) for token in tokens[at : at + size]))
                if found is not None:
                    named = zip(tokens[at : at + size], found.words, strict=True)
                    words = tuple(Word(token, word.begin, word.end) for token, word in named)
                    spoken += Spoken(words, found.pieces)
                    at += size
                    break
            else:
                return None
        return spoken

    def audio(self, spoken: Spoken, format: Format) -> bytes:
        """The sound of `spoken` in `format`."""
        tape = self._tapes.get(format)
        if tape is None:
            tape = self._tapes[format] = self._tape(format)
        width, rate = format.width, format.rate
        parts = []
        for begin, end in spoken.pieces:
            if begin < 0:
                parts.append(format.silence * (end * rate // RATE))
            else:
                parts.append(tape[begin * rate // RATE * width : end * rate // RATE * width])
        return b"".join(parts)

    def _tape(self, format: Format) -> bytes:
        pcm = self._pcm
        if format.rate != RATE:
            pcm = convert(pcm, RATE, format.rate)
        return encode(pcm, format.encoding)


@lru_cache(maxsize=1)
def bank() -> Bank:
    """The one bank of this process."""
    return Bank()


@lru_cache(maxsize=1024)
def filler(n: int, seconds: float) -> Spoken:
    """About `seconds` of sentences; which ones depends on `n` alone. From 4 s on they end with a clause where one ends
    up to 2 s before or 0.6 s after; else with the word that ends next."""
    pool = bank().sentences
    spoken = Spoken()
    turn = 0
    while spoken.seconds < seconds + 0.6:
        spoken += pool[(n + 3 * turn) % len(pool)]
        turn += 1
    off = [word.end / RATE - seconds for word in spoken.words]
    clauses = [i for i, word in enumerate(spoken.words) if word.text[-1] in ",." and -2.0 <= off[i] <= 0.6]
    if clauses and seconds >= 4.0:
        keep = min(clauses, key=lambda i: abs(off[i])) + 1
    else:
        keep = next(i for i, late in enumerate(off) if late >= 0) + 1
    short = spoken.cut(0, keep)
    last = short.words[-1]
    ended = Word(last.text.rstrip(",.") + ".", last.begin, last.end)
    return Spoken((*short.words[:-1], ended), short.pieces)
