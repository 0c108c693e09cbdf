"""Numbers hidden in caller speech, so that a test hears whether a question arrived whole, once and in order.

`number_speech` lays nine faint tones under the spoken part of a recording: seven sustained ones spell the number
(three digits), the length (three digits) and a check digit; two hop every 100 ms through a sequence that names the
place in the turn. `read_number` finds them again after G.711, resampling, mild noise and cuts, and says which
stretches never came and which came twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
Floats = NDArray[np.float64]

RATE = 8000
SLOT = 800  # samples of one slot: 100 ms
STEP = 160  # the reader looks every 20 ms
STEP_MS = 20
PER_SLOT = SLOT // STEP
SEQUENCE = 256  # slots before the hopping sequence repeats (25.6 s)

# 10 digits of 10 Hz each per bank, from 2010 to 2700 Hz; then two banks of 16 tones 20 Hz apart up to 3380 Hz.
BANKS = 7
DIGITS_HZ = 2010 + 100 * np.arange(BANKS)[:, None] + 10 * np.arange(10)[None, :]
HOPS_HZ = np.stack([2740 + 20 * np.arange(16), 3080 + 20 * np.arange(16)])

SUSTAINED_DB = -31.0  # each tone against the spoken part's RMS
HOPPING_DB = -27.0
FLOOR_RMS = 300.0  # quieter speech gets the tones of speech at this level, else G.711 would round them away

JUMP_COST = 18.0  # log-likelihood a gap or a repetition must be worth
MIN_CONTRAST = 0.55  # how far the best digit must stand out in every bank (natural log)
STRETCH = 10  # windows a number is looked for in: 1.3 s
WEAK = -1.6  # a step whose tones are this far (natural log) below their usual power has none
CLEAR = 0.35  # neither has one where they hardly stand out of their banks
OUTSIDE = 100  # steps
TOLERATED_MS = 180  # a turn that misses less than this in one piece counts as complete


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read. `number` None: no number in this audio (then the rest says nothing). `missing_ms` counts what was
    never heard of the marked stretch, beginning and end included, `repeated_ms` what was heard more than once."""

    number: int | None
    complete: bool = False
    missing_ms: int = 0
    repeated_ms: int = 0


NOTHING = Reading(None)


def _slot_tones(slot: NDArray[np.int_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Which tone of each hopping bank slot k carries; the pair is unique within SEQUENCE slots."""
    first = slot % 16
    return first, (slot // 16 + 5 * first) % 16


def _digits(number: int, slots: int) -> list[int]:
    check = (7 * number + 3 * slots + 5) % 10
    return [number // 100, number // 10 % 10, number % 10, slots // 100, slots // 10 % 10, slots % 10, check]


def _spoken(pcm: Floats) -> tuple[int, int, float]:
    """First and last sample of the spoken part (40 ms of margin) and its RMS."""
    blocks = pcm[: len(pcm) // STEP * STEP].reshape(-1, STEP)
    rms = np.sqrt(np.mean(blocks**2, axis=1))
    if not len(rms) or rms.max() < 30:
        return 0, 0, 0.0
    loud = np.flatnonzero(rms > max(30.0, rms.max() * 10 ** (-30 / 20)))
    begin = max(0, int(loud[0]) - 2) * STEP
    end = min(len(rms), int(loud[-1]) + 3) * STEP
    return begin, end, float(np.sqrt(np.mean(rms[loud] ** 2)))


def number_speech(pcm8k: Pcm, n: int) -> Pcm:
    """`pcm8k` (int16, 8 kHz) with the number `n` under its spoken part. Same length.

    Raises ValueError for a number outside 0..999, and for a recording without speech or longer than 99 s.
    """
    if not 0 <= n <= 999:
        raise ValueError(f"numbers run from 0 to 999, not {n}")
    voice = pcm8k.astype(np.float64)
    begin, end, rms = _spoken(voice)
    slots = max(1, round((end - begin) / SLOT))
    if rms == 0.0 or slots > 999:
        raise ValueError("nothing spoken in this recording" if rms == 0.0 else "a numbered turn lasts 99 s at most")
    end = min(len(voice), begin + slots * SLOT)
    t = np.arange(end - begin) / RATE
    rng = np.random.default_rng(n)
    tones = np.zeros(len(t))
    level = max(rms, FLOOR_RMS) * np.sqrt(2.0)
    for bank, digit in enumerate(_digits(n, slots)):
        tones += 10 ** (SUSTAINED_DB / 20) * np.sin(2 * np.pi * (DIGITS_HZ[bank, digit] * t + rng.random()))
    slot = np.arange(len(t)) // SLOT
    # The first and last 4 ms of each slot swell and fade, so that the hops do not click.
    inside = np.arange(len(t)) % SLOT
    shape = np.clip(np.minimum(inside + 1, SLOT - inside) / 32, 0.0, 1.0)
    for bank, tone in enumerate(_slot_tones(slot)):
        tones += 10 ** (HOPPING_DB / 20) * shape * np.sin(2 * np.pi * HOPS_HZ[bank, tone] * t)
    voice[begin:end] += level * tones
    return np.asarray(np.clip(np.round(voice), -32768, 32767), np.int16)


def _at_8k(pcm: Pcm, rate: int) -> Floats:
    """Band-limited to 8 kHz by cutting the spectrum of the whole recording."""
    if rate == RATE:
        return pcm.astype(np.float64)
    padded = np.pad(pcm.astype(np.float64), (0, -len(pcm) % (rate // 100)))
    size = len(padded) * RATE // rate
    return np.fft.irfft(np.fft.rfft(padded)[: size // 2 + 1], size) * (RATE / rate)


def _powers(x: Floats, size: int, step: int, hz: NDArray[np.int_]) -> Floats:
    """Power of the tones `hz` in windows of `size` samples every `step`: shape (windows, *hz.shape)."""
    if len(x) < size:
        x = np.pad(x, (0, size - len(x)))
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[::step]
    spectrum = np.fft.rfft(frames * np.hanning(size + 1)[:-1], axis=1)
    chosen = spectrum[:, (hz * size // RATE).ravel()]
    return np.asarray((chosen.real**2 + chosen.imag**2).reshape(len(frames), *hz.shape)) + 1e-3


def _standing(x: Floats) -> Floats:
    """How far each digit's tone stands out of its bank, per window of 400 ms: shape (windows, BANKS, 10)."""
    power = np.log(_powers(x, 4 * SLOT, SLOT, DIGITS_HZ))
    return np.asarray(np.clip(power - power.mean(axis=2, keepdims=True), -2.0, 4.0))


def _codes(standing: Floats, size: int) -> dict[tuple[int, int], int]:
    """(number, slots) of every stretch of `size` windows in which each bank has one clear digit and the check digit
    agrees, in order, with the first window where it is so."""
    size = min(size, len(standing))
    sums = np.concatenate([np.zeros((1, BANKS, 10)), np.cumsum(standing, axis=0)])
    mean = (sums[size:] - sums[:-size]) / size
    order = np.sort(mean, axis=2)
    clear = np.flatnonzero((order[:, :, -1] - order[:, :, -2]).min(axis=1) >= MIN_CONTRAST)
    found: dict[tuple[int, int], int] = {}
    for window, digits in zip(clear.tolist(), mean[clear].argmax(axis=2).tolist(), strict=True):
        number = 100 * digits[0] + 10 * digits[1] + digits[2]
        slots = 100 * digits[3] + 10 * digits[4] + digits[5]
        if slots and _digits(number, slots) == digits:
            found.setdefault((number, slots), window)
    return found


def _follow(score: Floats) -> NDArray[np.int_]:
    """The likeliest place in the turn at each step: it moves on by one, or jumps anywhere at a cost.

    `score`: (steps, places) log-likelihoods."""
    steps, places = score.shape
    best = score[0].copy()
    came = np.empty((steps, places), np.int32)
    on = np.arange(-1, places - 1)
    for step in range(1, steps):
        top = int(best.argmax())
        moved = np.empty(places)
        moved[0] = -1e9
        moved[1:] = best[:-1]
        jump = best[top] - JUMP_COST
        came[step] = np.where(moved >= jump, on, top)
        best = np.maximum(moved, jump) + score[step]
    path = np.empty(steps, np.int64)
    path[-1] = int(best.argmax())
    for step in range(steps - 1, 0, -1):
        path[step - 1] = came[step, path[step]]
    return path


def read_numbers(pcm: Pcm, rate: int) -> list[Reading]:
    """Every number in `pcm` (int16 at 8, 16, 24 or 48 kHz), in order, and what of its stretch is missing or doubled."""
    if len(pcm) < 2 * SLOT * rate // RATE:
        return []
    x = _at_8k(pcm, rate)
    standing = _standing(x)
    size = STRETCH
    codes = _codes(standing, size)
    if not codes:  # little of it is left, or it is noisy: all of it together may still be clear
        size = len(standing)
        codes = _codes(standing, size)
    if not codes:
        return []
    x = np.pad(x, SLOT // 2)  # the window of a step is centred on it
    sustained = np.log(_powers(x, SLOT, STEP, DIGITS_HZ))
    hops = np.log(_powers(x, SLOT, STEP, HOPS_HZ))
    likely = np.clip(hops - hops.mean(axis=2, keepdims=True), -1.5, 3.0)
    present = _present(sustained, codes, size)
    return [_read(number, slots, present[i], likely) for i, (number, slots) in enumerate(codes)]


def _present(sustained: Floats, codes: dict[tuple[int, int], int], size: int) -> NDArray[np.bool_]:
    """Which code's tones are there at each step (shape codes x steps): as strong as where the code was found, standing
    out of their banks, and more so than any other code's."""
    standing = np.clip(sustained - sustained.mean(axis=2, keepdims=True), -2.0, 4.0)
    strong, clear = [], []
    for (number, slots), window in codes.items():
        banks, digits = np.arange(BANKS), np.array(_digits(number, slots))
        tones = sustained[:, banks, digits]
        where = slice(window * PER_SLOT, (window + size + 3) * PER_SLOT)
        drop = np.clip(tones - np.median(tones[where]), -5.0, 0.0).mean(axis=1)
        strong.append(_smooth(drop, 5) > WEAK)
        clear.append(_smooth(standing[:, banks, digits].mean(axis=1), 11))
    table = np.stack(clear)
    return np.asarray(np.stack(strong) & (table > CLEAR) & (table >= table.max(axis=0)))


def _smooth(values: Floats, steps: int) -> Floats:
    """Moving average, the ends repeated."""
    padded = np.pad(values, steps // 2, mode="edge")
    return np.convolve(padded, np.full(steps, 1 / steps), mode="valid")


def _read(number: int, slots: int, present: NDArray[np.bool_], likely: Floats) -> Reading:
    """Follow one number's hopping tones where its sustained tones are present."""
    steps = np.flatnonzero(present)
    if not len(steps):
        return Reading(number, False, slots * SLOT * 1000 // RATE)
    first, second = _slot_tones(np.arange(slots * PER_SLOT) // PER_SLOT)
    inside = likely[:, 0, first] + likely[:, 1, second]
    inside[~present] = 0.0
    # Places before the beginning and after the end, for sound that only seems to be marked.
    score = np.pad(inside, ((0, 0), (OUTSIDE, OUTSIDE)))
    lo, hi = int(steps[0]), int(steps[-1]) + 1
    path = _follow(score[lo:hi])[present[lo:hi]] - OUTSIDE
    heard = np.bincount(path[(path >= 0) & (path < inside.shape[1])], minlength=inside.shape[1])
    return _judge(number, heard)


def read_number(pcm: Pcm, rate: int) -> Reading:
    """The first number in `pcm`; see read_numbers."""
    found = read_numbers(pcm, rate)
    return found[0] if found else NOTHING


def _judge(number: int, heard: NDArray[np.int_]) -> Reading:
    """From how often each 20 ms of the marked stretch was heard."""
    missing = int((heard == 0).sum()) * STEP_MS
    repeated = int(np.maximum(heard - 1, 0).sum()) * STEP_MS
    gap = longest = 0
    for count in heard:
        gap = 0 if count else gap + 1
        longest = max(longest, gap)
    whole = longest * STEP_MS < TOLERATED_MS and repeated < TOLERATED_MS
    return Reading(number, whole, missing, repeated)
