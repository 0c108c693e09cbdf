"""Text as a row of sounds: what kinds of sound a voice will make of it, and how long each usually lasts.

No dictionary: letters of Latin script are read by rules that hold well enough in most European languages. A kind of
sound is a letter or a group of them, and what it may sound like is a mixture (`phones.LETTERS`). Digits are read as
words where the text is English; elsewhere they are, like letters of other scripts, sounds of any kind whose length
alone is expected.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from bridge.core.numbers import read_out

_MS = {  # usual length: the means of five voices
    "a": 88, "e": 61, "i": 76, "o": 80, "u": 96, "y": 115, "ai": 135, "ee": 108, "oo": 96, "ou": 93, "au": 110,
    "oi": 187, "ew": 128, "N": 69, "L": 100, "R": 76, "W": 71, "Y": 96, "S": 98, "SH": 125, "J": 98, "F": 101, "TH": 47,
    "V": 51, "H": 59, "K": 78, "G": 54, "weak": 58, "any": 80, "pause": 80,
}  # fmt: skip
NAMES = tuple(_MS)  # vowels in small letters, "weak" may be silent; K stands for p, t and k, G for b, d and g
KINDS = len(NAMES)
_NUMBER = {name: number for number, name in enumerate(NAMES)}
ANY, PAUSE = _NUMBER["any"], _NUMBER["pause"]

_LETTER_MS = 75  # of an alphabet that is not read here
_SYLLABLE_MS = 180  # a sign of a script that writes syllables or words
_DIGIT_MS = (120, 120, 120)  # two or three syllables

_SPELLING: list[tuple[str, str]] = [  # the first that fits; with a question mark: may be left out
    ("tion|sion|cion", "SH weak N"),
    ("tsch|sch|tch|sh|ch", "SH"),
    ("dge", "J"),
    ("sc(?=[eiy])|ss|zz|s|z|c(?=[eiy])", "S"),
    ("x", "K S"),
    ("ph|ff|f", "F"),
    ("th", "TH"),
    ("v", "V"),
    ("^kn", "N"),
    ("^wr", "R"),
    ("ould", "u G"),
    ("eigh", "ai"),
    ("igh", "i"),
    ("gh", "F?"),
    ("cqu?|ck|cc|kk|c|k|qu?|pp|p|tt|t", "K"),
    ("ng|nn|n|mm|m", "N"),
    ("ll|l", "L"),
    ("rr|r", "R"),
    ("[oa]w(?![aeiouy])", "ou"),
    ("ew(?![aeiouy])", "ew"),
    ("wh|w", "W"),
    ("y(?=[aeiou])", "Y"),
    ("bb|b|dd|d|gg", "G"),
    ("j|g(?=[eiy])", "J"),
    ("g", "G"),
    ("^h|(?<![cstpgrkwd])h(?=[aeiouy])", "H"),
    ("h", ""),
    ("(?<=[^aeiouy])e$|(?<=[^aeiouys])e(?=[ds]$)", "weak?"),
    ("[ae][iy]", "ai"),
    ("ee|ea|ie", "ee"),
    ("oo", "oo"),
    ("ou", "ou"),
    ("au|oa", "au"),
    ("o[iy]", "oi"),
    ("eu|ue|ui", "ew"),
    *((letter, letter) for letter in "aeiouy"),
]
_SPOKEN = {  # frequent English words that are not said as they are spelled
    "one": "wun", "once": "wuns", "two": "too", "who": "hoo", "whole": "hole", "of": "ov", "does": "duz",
}
_RULE = re.compile("|".join(f"(?P<r{index}>{pattern})" for index, (pattern, _) in enumerate(_SPELLING)))
_DENSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff"  # no spaces
_WORD = re.compile(rf"[{_DENSE}][^\w\s]*|[^\s{_DENSE}]+")
_BREAK = re.compile(r"[.,;:!?…—。、，！？：；।؟،][\"'”’»)\]]*$")
_FOLDED = str.maketrans({"ß": "ss", "ç": "s", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "ı": "i", "đ": "d", "þ": "th"})
_PIECE = re.compile(r"[a-z]+|\d|[^\W\d_]")


class Sound(NamedTuple):
    """`ms`: usual length. `optional`: some voices leave it out."""

    kind: int
    ms: int
    optional: bool = False


class Word(NamedTuple):
    """A word that ends at character `end` of its text; `stop`: a pause is likely after it."""

    end: int
    sounds: tuple[Sound, ...]
    stop: bool


def words_of(text: str, english: bool = False) -> list[Word]:
    """The words of `text`. Where a script has no spaces between words, each sign counts as one. `english`: numbers are
    read as English reads them."""
    found = ((match.end(), match.group()) for match in _WORD.finditer(text))
    return [Word(end, sounds_of(word, english), bool(_BREAK.search(word))) for end, word in found]


@lru_cache(maxsize=1024)
def sounds_of(word: str, english: bool = False) -> tuple[Sound, ...]:
    """The sounds of one word; empty for one that has neither letters nor digits."""
    spelled = read_out(word) if english else word
    folded = unicodedata.normalize("NFKD", spelled.lower().translate(_FOLDED))
    folded = "".join(char for char in folded if not unicodedata.combining(char) and char not in "'’")
    out: list[Sound] = []
    for piece in _PIECE.findall(unicodedata.normalize("NFC", folded)):
        if piece[0].isdigit():
            out += [Sound(ANY, ms) for ms in _DIGIT_MS]
        elif piece.isascii():
            out += _read(piece)
        else:
            wide = unicodedata.east_asian_width(piece) in "WF"
            out.append(Sound(ANY, _SYLLABLE_MS if wide else _LETTER_MS))
    return tuple(out)


def _read(letters: str) -> list[Sound]:
    """Sounds of Latin letters (a to z)."""
    out: list[Sound] = []
    for match in _RULE.finditer(_SPOKEN.get(letters, letters)):
        for name in _SPELLING[int((match.lastgroup or "r0")[1:])][1].split():
            kind = _NUMBER[name.rstrip("?")]
            out.append(Sound(kind, _MS[NAMES[kind]], name.endswith("?")))
    if not any(NAMES[sound.kind].islower() and not sound.optional for sound in out):
        out = [sound._replace(optional=False) for sound in out]
    return out
