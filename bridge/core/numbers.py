"""Numbers as English reads them aloud: "1,471" as "one thousand four hundred seventy one"."""

from __future__ import annotations

import re

_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_SMALL += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_LONGEST = 6  # digits; longer ones are told digit by digit
_UNITS = {"$": "dollars", "€": "euros", "£": "pounds", "%": "percent"}
_NUMBER = re.compile(r"([$€£]?)(\d{1,3}(?:,\d{3})+|\d+)((?:\.\d+)?)(%?)", re.ASCII)
# Words that hardly another language has.
_ENGLISH = re.compile(r"\b(?:the|and|you|your|this|that|with|our|what|which|would)\b", re.IGNORECASE)


def is_english(text: str) -> bool:
    """Is any of it a word that only English has?"""
    return _ENGLISH.search(text) is not None


def read_out(text: str) -> str:
    """`text` with its numbers in English words, currencies and per cent behind them; an ending like "st" stands alone.
    Other signs stay."""
    return _NUMBER.sub(_words, text)


def _words(match: re.Match[str]) -> str:
    before, whole, fraction, after = match.groups()
    words = _cardinal(whole.replace(",", ""))
    if fraction:
        words += ["point", *(_SMALL[int(digit)] for digit in fraction[1:])]
    words += [_UNITS[sign] for sign in (before, after) if sign]
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return " " * before.isalpha() + " ".join(words) + " " * after.isalpha()


def _cardinal(digits: str) -> list[str]:
    if len(digits) > _LONGEST or (len(digits) > 1 and digits[0] == "0"):
        return [_SMALL[int(digit)] for digit in digits]
    thousands, rest = divmod(int(digits), 1000)
    if not thousands:
        return _below_thousand(rest)
    return [*_below_thousand(thousands), "thousand", *(_below_thousand(rest) if rest else ())]


def _below_thousand(number: int) -> list[str]:
    if number >= 100:
        return [_SMALL[number // 100], "hundred", *(_below_thousand(number % 100) if number % 100 else ())]
    if number < 20:
        return [_SMALL[number]]
    return [_TENS[number // 10 - 2], *([_SMALL[number % 10]] if number % 10 else ())]
