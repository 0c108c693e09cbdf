"""Text as a row of sounds: what kinds of sound a voice will make of it, and how long each usually lasts.

No dictionary and no language: letters of Latin script are read by rules that hold well enough in most European
languages, since only the kind of a sound counts (a vowel, a hiss, a stop), not which one it is. Digits, and letters of
other scripts, are sounds of any kind whose length alone is expected.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

VOWEL, NASAL, LIQUID, HISS, BREATH, STOP, SOFT, ANY, PAUSE = range(9)
KINDS = 9

_MS = {VOWEL: 80, NASAL: 65, LIQUID: 65, HISS: 105, BREATH: 90, STOP: 75, SOFT: 55}  # medians of four English voices
_LONGER_VOWEL_MS = (80, 115, 140)  # by the number of letters, at most three
_WEAK_MS = 60  # an e that may be silent
_AFFRICATE_MS = 80
_LETTER_MS = 75  # of an alphabet that is not read here
_SYLLABLE_MS = 180  # a sign of a script that writes syllables or words
_DIGIT_MS = (120, 120, 120)  # two or three syllables

_SPELLING: list[tuple[str, str]] = [  # the first that fits; small letters are sounds that may be left out
    ("tion|sion|cion", "HVN"),
    ("tsch|sch|tch|sh|ch|dge|sc(?=[eiy])|ss|zz|s|z|c(?=[eiy])", "H"),
    ("x", "SH"),
    ("ph|th|ff|f", "B"),
    ("igh", "V"),
    ("gh", "b"),
    ("cqu?|ck|cc|kk|c|k|qu?|pp|p|tt|t", "S"),
    ("ng|nn|n|mm|m", "N"),
    ("ll|l|rr|r|wh|w|y(?=[aeiou])", "L"),
    ("bb|b|dd|d|gg|vv|v", "D"),
    ("j|g(?=[eiy])", "J"),
    ("g", "D"),
    ("^h|(?<![cstpgrkwd])h(?=[aeiouy])", "B"),
    ("h", ""),
    ("(?<=[^aeiouy])e$|(?<=[^aeiouys])e(?=[ds]$)", "v"),
    ("[aeiouy]+", "V"),
]
_RULE = re.compile("|".join(f"(?P<r{index}>{pattern})" for index, (pattern, _) in enumerate(_SPELLING)))
_KIND = {"V": VOWEL, "N": NASAL, "L": LIQUID, "H": HISS, "B": BREATH, "S": STOP, "D": SOFT, "J": SOFT}
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


def words_of(text: str) -> list[Word]:
    """The words of `text`. Where a script has no spaces between words, each sign counts as one."""
    found = ((match.end(), match.group()) for match in _WORD.finditer(text))
    return [Word(end, sounds_of(word), bool(_BREAK.search(word))) for end, word in found]


@lru_cache(maxsize=1024)
def sounds_of(word: str) -> tuple[Sound, ...]:
    """The sounds of one word; empty for one that has neither letters nor digits."""
    folded = unicodedata.normalize("NFKD", word.lower().translate(_FOLDED))
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
    for match in _RULE.finditer(letters):
        for sign in _SPELLING[int((match.lastgroup or "r0")[1:])][1]:
            kind = _KIND[sign.upper()]
            ms = _MS[kind]
            if sign == "V":
                ms = _LONGER_VOWEL_MS[min(3, len(match.group())) - 1]
            elif sign == "v":
                ms = _WEAK_MS
            elif sign == "J":
                ms = _AFFRICATE_MS
            out.append(Sound(kind, ms, sign.islower()))
    if not any(sound.kind == VOWEL and not sound.optional for sound in out):
        out = [sound._replace(optional=False) for sound in out]
    return out
