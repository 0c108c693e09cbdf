"""The streaming resampler: the same bits however the stream is cut, clean spectra, short and regular."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.resample import RATES, Resampler, _block_matrix, convert

PAIRS = list(permutations(RATES, 2))


def noise(samples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-20000, 20000, samples).astype(np.int16)


def tone(frequency: float, rate: int, seconds: float = 0.5, peak: float = 12000.0) -> np.ndarray:
    return np.rint(peak * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def spectrum(pcm: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and the peak amplitude a tone there has."""
    window = np.blackman(len(pcm))
    return np.fft.rfftfreq(len(pcm), 1 / rate), np.abs(np.fft.rfft(pcm * window)) * 2 / window.sum()


def in_chunks(resampler: Resampler, pcm: np.ndarray, sizes: list[int]) -> np.ndarray:
    parts, at = [], 0
    for size in sizes:
        parts.append(resampler.process(pcm[at : at + size]))
        at += size
    return np.concatenate([*parts, resampler.process(pcm[at:]), resampler.flush()])


@settings(deadline=None)
@given(st.sampled_from(PAIRS), st.lists(st.integers(0, 700), max_size=20), st.integers(0, 5000), st.integers(0, 99))
def test_chunks_do_not_matter(pair, sizes, extra, seed):
    pcm = noise(sum(sizes) + extra, seed)
    resampler = Resampler(*pair)
    assert np.array_equal(in_chunks(resampler, pcm, sizes), in_chunks(Resampler(*pair), pcm, []))


@pytest.mark.parametrize("pair", PAIRS)
def test_sums_of_products_are_exact(pair):
    """Whole multiples of 2**-20, whose sum with any 16-bit samples fits the 53 bits of a float64."""
    matrix, _ = _block_matrix(*pair)
    whole = matrix * 2**20
    assert np.array_equal(whole, np.rint(whole))
    assert np.abs(whole).sum(axis=0).max() * 32768 < 2**53


@pytest.mark.parametrize("pair", PAIRS)
def test_long_chunks_are_sliced_without_a_seam(pair):
    pcm = noise(40_001)
    assert np.array_equal(in_chunks(Resampler(*pair), pcm, []), in_chunks(Resampler(*pair), pcm, [977] * 30))


@pytest.mark.parametrize("pair", PAIRS)
def test_every_20_ms_in_give_20_ms_out_with_little_delay(pair):
    rate_in, rate_out = pair
    resampler = Resampler(*pair)
    pcm = noise(rate_in // 10)
    sizes = [len(resampler.process(part)) for part in np.split(pcm, 5)]
    assert sizes == [rate_out // 50] * 5
    assert resampler.delay_ms <= 3.0
    assert len(resampler.flush()) == pytest.approx(resampler.delay_ms * rate_out / 1000)


@pytest.mark.parametrize("pair", PAIRS)
def test_output_is_complete_up_to_the_last_input_sample(pair):
    rate_in, rate_out = pair
    resampler, given_in, given_out = Resampler(*pair), 0, 0
    for size in (1, 1, 1, 5, 0, 7, 2, 13, 159, 1):
        given_in += size
        given_out += len(resampler.process(noise(size)))
        assert given_out == -(-given_in * rate_out // rate_in)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_delay_is_what_it_says(pair):
    rate_in, rate_out = pair
    resampler = Resampler(*pair)
    frequency = 0.1 * min(pair)
    out = resampler.process(tone(frequency, rate_in))
    at = np.arange(len(out)) / rate_out - resampler.delay_ms / 1000
    ideal = 12000 * np.sin(2 * np.pi * frequency * at)
    settled = slice(rate_out // 100, None)
    assert np.abs(out - ideal)[settled].max() < 12


@pytest.mark.parametrize("pair", PAIRS)
def test_flat_to_3400_hz_and_clean_elsewhere(pair):
    """Speech tones keep their level within 1 dB and leave no image or alias above -50 dB."""
    rate_in, rate_out = pair
    lower = min(pair)
    for frequency in (0.0375 * lower, 0.125 * lower, 0.25 * lower, 0.375 * lower, 0.425 * lower):
        out = Resampler(*pair).process(tone(frequency, rate_in))[rate_out // 50 :]
        at, level = spectrum(out, rate_out)
        near = np.abs(at - frequency) < 40
        assert abs(20 * np.log10(level[near].max() / 12000)) < 1.0
        assert 20 * np.log10(level[~near].max() / 12000) < -50.0


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] > pair[1]])
def test_tones_above_half_the_lower_rate_vanish(pair):
    rate_in, rate_out = pair
    for frequency in np.linspace(0.5 * rate_out + 10, 0.5 * rate_in - 10, 25):
        out = Resampler(*pair).process(tone(frequency, rate_in, 0.2))[rate_out // 50 :]
        assert 20 * np.log10(np.sqrt(2 * np.mean(out.astype(float) ** 2)) / 12000 + 1e-9) < -50.0


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] < pair[1]])
def test_white_noise_leaves_no_image(pair):
    rate_in, rate_out = pair
    out = Resampler(*pair).process(noise(rate_in * 2))
    at, level = spectrum(out, rate_out)
    wanted = np.sqrt(np.mean(level[at < 0.4 * rate_in] ** 2))
    image = np.sqrt(np.mean(level[at > 0.5 * rate_in] ** 2))
    assert 20 * np.log10(image / wanted) < -50.0


@pytest.mark.parametrize("pair", PAIRS)
def test_a_steady_level_stays_exactly_itself(pair):
    out = Resampler(*pair).process(np.full(pair[0] // 10, 12345, dtype=np.int16))
    assert np.all(out[pair[1] // 100 :] == 12345)


@pytest.mark.parametrize("pair", PAIRS)
def test_overshoot_saturates(pair):
    square = np.where(np.arange(pair[0] // 5) // (pair[0] // 200) % 2, 32767, -32768).astype(np.int16)
    out = Resampler(*pair).process(square).astype(int)[pair[1] // 50 :]
    assert out.max() == 32767 and out.min() == -32768
    # A wrapped sample would stand alone against its neighbours: on the flat tops nothing may have the other sign.
    assert np.count_nonzero(np.diff(np.sign(out)) != 0) <= 2 * 36 + 1


def test_equal_rates_pass_through_untouched():
    resampler, pcm = Resampler(16000, 16000), noise(333)
    assert resampler.process(pcm) is pcm
    assert resampler.delay_ms == 0 and len(resampler.flush()) == 0


@pytest.mark.parametrize("pair", PAIRS)
def test_reset_and_flush_make_it_new(pair):
    pcm = noise(777, seed=5)
    fresh = Resampler(*pair).process(pcm)
    used = Resampler(*pair)
    used.process(noise(1234))
    used.reset()
    assert np.array_equal(used.process(pcm), fresh)
    used.flush()
    assert np.array_equal(used.process(pcm), fresh)


def test_results_belong_to_the_caller():
    resampler, pcm = Resampler(8000, 24000), noise(160)
    first = resampler.process(pcm)
    kept = first.copy()
    pcm[:] = 0
    second = resampler.process(noise(160, seed=2))
    assert np.array_equal(first, kept) and not np.shares_memory(first, second)


@pytest.mark.parametrize("rates", [(11025, 8000), (8000, 44100), (0, 8000), (8000, -8000)])
def test_other_rates_are_refused_for_live_audio(rates):
    with pytest.raises(ValueError, match="8000, 16000, 24000, 48000 Hz"):
        Resampler(*rates)


@pytest.mark.parametrize("rate_in", [8000, 8001, 11025, 12000, 16000, 22050, 32000, 44100, 47999, 48000])
@pytest.mark.parametrize("rate_out", [8000, 48000])
def test_convert_is_exact_for_speech_at_any_rate(rate_in, rate_out):
    for frequency in (300.0, 1000.0, 3300.0):
        out = convert(tone(frequency, rate_in, 0.25), rate_in, rate_out)
        assert len(out) == -(-(rate_in // 4) * rate_out // rate_in)
        ideal = 12000 * np.sin(2 * np.pi * frequency * np.arange(len(out)) / rate_out)
        middle = slice(rate_out // 50, -rate_out // 50)
        # The live filter loses 0.3 dB at the edge of its band.
        assert np.abs(out - ideal)[middle].max() < 12000 * 0.03


@pytest.mark.parametrize("rate_in", [11025, 22050, 44100, 32000])
def test_convert_lets_no_alias_through(rate_in):
    for frequency in np.linspace(4100, rate_in / 2 - 50, 9):
        out = convert(tone(frequency, rate_in), rate_in, 8000)[200:-200]
        assert np.sqrt(2 * np.mean(out.astype(float) ** 2)) < 12000 * 10 ** (-60 / 20)


def test_convert_of_nothing_and_of_bad_rates():
    assert len(convert(np.zeros(0, dtype=np.int16), 44100, 8000)) == 0
    assert len(convert(noise(1), 44100, 8000)) == 1
    with pytest.raises(ValueError, match="0 Hz"):
        convert(noise(10), 0, 8000)
