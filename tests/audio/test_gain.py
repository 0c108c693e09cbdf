"""Line audio: no clicks at duck, resume and cut; limits, automatic gain and comfort noise in numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.frame import PCM16_8K, PCM16_24K, PCMA, PCMU, Format, decode, encode
from audio.g711 import gain_table
from audio.gain import Agc, ComfortNoise, Fader, Limiter, Volume, comfort_noise, match_gain_db, rms_dbfs

FORMATS = [PCMU, PCMA, PCM16_8K, PCM16_24K]
LOW = 10 ** (-12 / 20)


def noise(samples: int, peak: int = 20000, seed: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(-peak, peak, samples).astype(np.int16)


def tone(frequency: float, rate: int, seconds: float, peak: float = 12000.0) -> np.ndarray:
    return np.rint(peak * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def frames(data: bytes, format: Format, ms: float = 20) -> list[bytes]:
    size = format.bytes_for(ms)
    return [data[at : at + size] for at in range(0, len(data), size)]


# ------------------------------------------------------------------------------------------------------------ volume


@pytest.mark.parametrize("format", FORMATS)
def test_volume_at_0_db_hands_back_the_very_bytes(format):
    volume, data = Volume(format), encode(noise(format.rate // 50), format.encoding)
    assert volume.apply(data) is data
    volume.set(0.1)  # less than half a step
    assert volume.apply(data) is data
    for db in (-6.0, 6.0, 0.0):
        volume.turn(db)
        volume.apply(data)
    assert volume.apply(data) is data


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("db", [-9.0, -3.5, -0.5, 0.75, 4.0, 9.0])
def test_volume_changes_the_level_by_what_it_is_set_to(format, db):
    volume, pcm = Volume(format), tone(440, format.rate, 0.5, peak=4000)
    volume.set(db)
    assert volume.db == db
    out = b"".join(map(volume.apply, frames(encode(pcm, format.encoding), format)))
    assert rms_dbfs(decode(out, format.encoding)) - rms_dbfs(pcm) == pytest.approx(db, abs=0.1)


@pytest.mark.parametrize("format", FORMATS)
def test_volume_slides_without_a_step(format):
    volume, out = Volume(format), []
    for index, piece in enumerate(frames(encode(tone(200, format.rate, 0.6, peak=5000), format.encoding), format)):
        volume.turn((0.0, 9.0, -9.0)[index // 10])
        out.append(volume.apply(piece))
    pcm = decode(b"".join(out), format.encoding).astype(int)
    natural = 5000 * 2.82 * 2 * np.pi * 200 / format.rate
    assert np.abs(np.diff(pcm)).max() < 1.1 * natural + (600 if format.width == 1 else 20)


@pytest.mark.parametrize("format", FORMATS)
def test_volume_does_not_clip_and_leaves_the_limiter_when_it_is_quiet_again(format):
    volume = Volume(format)
    volume.set(9.0)
    loud = encode(tone(300, format.rate, 0.5, peak=25000), format.encoding)
    out = decode(b"".join(map(volume.apply, frames(loud, format))), format.encoding)
    assert np.abs(out.astype(int)).max() < 32768 * 10 ** (-0.7 / 20)
    settled = out[format.rate // 10 :].astype(int)
    assert np.count_nonzero(np.abs(settled) == np.abs(settled).max()) < len(settled) / 4  # round, not flat
    quiet = frames(encode(tone(300, format.rate, 2.0, peak=1000), format.encoding), format)
    last = [volume.apply(piece) for piece in quiet][-1]
    gain = rms_dbfs(decode(last, format.encoding)) - rms_dbfs(decode(quiet[-1], format.encoding))
    assert gain == pytest.approx(9.0, abs=0.15)


# ------------------------------------------------------------------------------------------------------------- fader


@pytest.mark.parametrize("format", FORMATS)
def test_full_level_hands_back_the_very_bytes(format):
    fader, data = Fader(format), encode(noise(format.rate // 50), format.encoding)
    assert fader.apply(data) is data
    fader.duck()
    fader.restore()
    assert fader.apply(data) is data
    fader.duck()
    fader.apply(data)
    fader.restore()
    fader.apply(data)
    assert fader.apply(data) is data


@pytest.mark.parametrize("format", FORMATS)
def test_ducked_is_12_db_down_and_restore_brings_it_back(format):
    fader = Fader(format)
    pcm = noise(format.rate)
    pieces = frames(encode(pcm, format.encoding), format)
    fader.duck()
    fader.apply(pieces[0])
    quiet = b"".join(fader.apply(piece) for piece in pieces[1:20])
    reference = b"".join(pieces[1:20])
    assert rms_dbfs(decode(quiet, format.encoding)) - rms_dbfs(decode(reference, format.encoding)) == pytest.approx(
        -12, abs=0.1
    )
    fader.restore()
    fader.apply(pieces[20])
    assert fader.apply(pieces[21]) is pieces[21]


@pytest.mark.parametrize("format", [PCMU, PCMA])
def test_steadily_ducked_g711_goes_through_the_table(format):
    fader, data = Fader(format), bytes(range(256))
    fader.duck()
    fader.apply(encode(noise(160), format.encoding))
    assert fader.apply(data) == data.translate(gain_table(format.encoding, -12.0))


def highest_click(pcm: np.ndarray, rate: int) -> float:
    """Energy above 2 kHz in the worst 5 ms, in dB below a full 300 Hz tone of 12000: a click spreads to there."""
    spectrum = np.fft.rfft(pcm.astype(float))
    spectrum[np.fft.rfftfreq(len(pcm), 1 / rate) < 2000] = 0
    high = np.fft.irfft(spectrum, len(pcm))[rate // 100 : -rate // 100]  # the ends wrap round
    short = np.convolve(high**2, np.ones(rate // 200) / (rate // 200), "valid")
    return float(10 * np.log10(short.max() / (12000**2 / 2) + 1e-12))


@pytest.mark.parametrize("format", [PCM16_8K, PCM16_24K])
@pytest.mark.parametrize("action", ["duck", "restore", "turned round"])
def test_no_click_when_the_level_changes(format, action):
    """300 Hz tone with a whole number of periods in 0.4 s, the change at a crest, where a hard switch is worst."""
    fader, pieces = Fader(format), frames(encode(tone(300, format.rate, 0.4), format.encoding), format, 5)
    out = []
    if action == "restore":
        fader.duck()
        fader.apply(bytes(format.bytes_for(40)))
    for index, piece in enumerate(pieces):
        if index == 39 and action in ("duck", "turned round"):
            fader.duck()
        if (index == 39 and action == "restore") or (index == 40 and action == "turned round"):
            fader.restore()
        out.append(fader.apply(piece))
    pcm = decode(b"".join(out), format.encoding)
    assert len(pcm) == 0.4 * format.rate
    assert highest_click(pcm, format.rate) < -57
    switched = decode(b"".join(pieces), format.encoding).copy()
    switched[int(0.2 * format.rate) + format.rate // 1200 :] //= 4
    assert highest_click(switched, format.rate) > -35


@settings(deadline=None)
@given(st.sampled_from(FORMATS), st.lists(st.integers(0, 400), min_size=1, max_size=12), st.data())
def test_chunks_do_not_matter_to_a_slide(format, sizes, data):
    pcm = noise(sum(sizes), seed=9)
    wire = encode(pcm, format.encoding)
    whole, cut = Fader(format, ramp_ms=30), Fader(format, ramp_ms=30)
    whole.duck()
    cut.duck()
    parts, at = [], 0
    for size in sizes:
        parts.append(cut.apply(wire[at * format.width : (at + size) * format.width]))
        at += size
    assert decode(b"".join(parts), format.encoding).tolist() == decode(whole.apply(wire), format.encoding).tolist()
    if data.draw(st.booleans()):
        whole.restore()
        cut.restore()
        assert cut.apply(wire) == whole.apply(wire)


# ----------------------------------------------------------------------------------------------------------- limiter


def test_limiter_leaves_quiet_sound_alone():
    limiter, pcm = Limiter(8000), noise(160, peak=12000)
    assert limiter.process(pcm) is pcm
    assert len(limiter.process(np.zeros(0, dtype=np.int16))) == 0


@settings(deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=20), st.integers(0, 50), st.sampled_from([-1.0, -6.0]))
def test_limiter_never_lets_a_peak_over_the_ceiling(sizes, seed, ceiling):
    limiter = Limiter(8000, ceiling_db=ceiling)
    loud = np.random.default_rng(seed)
    for size in sizes:
        pcm = noise(size, peak=int(loud.integers(2, 32767)), seed=seed)
        out = limiter.process(pcm)
        assert len(out) == size
        assert np.abs(out.astype(int)).max() <= 32768 * 10 ** (ceiling / 20) + 1
        assert np.all(out.astype(int) * pcm >= 0)  # rounded off, never wrapped


def test_limiter_rides_loud_sound_without_distortion_and_lets_go():
    limiter, pcm = Limiter(8000), tone(300, 8000, 1.0, peak=32000)
    out = np.concatenate([limiter.process(part) for part in np.split(pcm, 50)])
    settled = out[4000:].astype(float)
    spectrum = np.abs(np.fft.rfft(settled * np.blackman(len(settled))))
    tone_bin = round(300 / 8000 * len(settled))
    others = np.delete(spectrum, range(tone_bin - 4, tone_bin + 5))
    assert 20 * np.log10(others.max() / spectrum.max()) < -45
    assert 20000 < np.abs(settled).max() <= 29205
    quiet = noise(160, peak=3000)
    for _ in range(20):
        last = limiter.process(quiet)
    assert last is quiet


def test_limiter_sees_a_rise_coming_within_what_it_was_given():
    """The gain is down before the loud part begins, so that its first swing is no higher than the later ones."""
    pcm = tone(400, 8000, 0.1, peak=32000)
    pcm[:400] //= 4
    out = np.abs(Limiter(8000).process(pcm).astype(int))
    assert out[400:440].max() <= 1.01 * out[600:].max()


def test_limiter_keeps_order_of_loudness():
    """The soft knee gives a louder tone a higher peak, up to the ceiling."""
    tops = []
    for peak in (12000, 16000, 20000, 26000, 32000):
        limiter = Limiter(8000)
        tops.append(np.abs(limiter.process(tone(400, 8000, 0.5, peak=peak))[2000:].astype(int)).max())
    assert tops == sorted(set(tops))


# -------------------------------------------------------------------------------------------------------------- gain


def speech_like(level_db: float, seconds: float, seed: int = 1) -> np.ndarray:
    """Noise in syllables of 200 ms with gaps of 60 ms."""
    samples = int(8000 * seconds)
    gate = np.arange(samples) % 2080 < 1600
    raw = np.random.default_rng(seed).normal(0, 1, samples) * gate
    return np.rint(raw / raw.std() * 32768 * 10 ** (level_db / 20)).astype(np.int16)


def test_agc_brings_a_quiet_caller_to_the_target_slowly():
    agc, pcm = Agc(8000), speech_like(-33, 10)
    gains = []
    for part in np.split(pcm, 500):
        out = agc.process(part, speech=True)
        gains.append(agc.gain_db)
    assert gains[24] < 3.5  # half a second in
    assert 8.5 < gains[-1] < 12.5
    assert max(np.diff(gains)) < 0.2
    assert len(out) == 160


def test_agc_is_bounded():
    agc, pcm = Agc(8000), speech_like(-50, 8)
    for part in np.split(pcm, 400):
        agc.process(part, speech=True)
    assert agc.gain_db == pytest.approx(15.0)


def test_agc_leaves_a_normal_caller_untouched():
    agc = Agc(8000)
    for part in np.split(speech_like(-19, 4), 200):
        assert agc.process(part, speech=True) is part


def test_agc_never_raises_noise_without_speech():
    agc, hum = Agc(8000), noise(160, peak=100)
    for _ in range(500):
        assert agc.process(hum, speech=False) is hum
    for part in np.split(speech_like(-40, 6), 300):
        agc.process(part, speech=True)
    assert agc.gain_db > 12
    for _ in range(11):
        agc.process(hum, speech=False)
    assert agc.process(hum, speech=False) is hum
    # The first words of the next turn are raised at once by what was learned.
    for part in np.split(speech_like(-40, 0.12), 6):
        agc.process(part, speech=True)
    assert agc.gain_db > 12


def test_agc_takes_a_shout_down_at_once_without_wrapping():
    agc = Agc(8000)
    for part in np.split(speech_like(-40, 6), 300):
        agc.process(part, speech=True)
    shout = tone(500, 8000, 0.02, peak=30000)
    out = agc.process(shout, speech=True)
    assert agc.gain_db < 0.5
    assert np.all(out.astype(int) * shout >= 0)


def test_agc_slides_between_gains_without_steps():
    agc, steady = Agc(8000), tone(200, 8000, 6, peak=300)
    out = np.concatenate(
        [agc.process(part, speech=index % 50 < 40) for index, part in enumerate(np.split(steady, 300))]
    )
    assert np.abs(np.diff(out.astype(int))).max() < 2 * 300 * 5.7 * np.sin(np.pi * 200 / 8000) * 1.25


# ------------------------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("level", [-70, -50, -30])
def test_comfort_noise_has_its_level_and_no_tone(level):
    pcm, _ = comfort_noise(level, 80000, 7)
    assert rms_dbfs(pcm) == pytest.approx(level, abs=0.3)
    assert abs(pcm.mean()) < 0.02 * pcm.std() + 0.5
    power = np.abs(np.fft.rfft(pcm.reshape(100, 800).astype(float), axis=1) ** 2).mean(axis=0)
    assert power[10:200].max() < 4 * np.median(power[10:200])
    assert power[350:400].mean() < 0.1 * power[10:50].mean()


@given(st.integers(-(2**70), 2**70), st.lists(st.integers(0, 300), max_size=8))
def test_comfort_noise_is_the_same_however_it_is_cut(state, sizes):
    whole, end = comfort_noise(-40.0, sum(sizes), state)
    parts = []
    for size in sizes:
        part, state = comfort_noise(-40.0, size, state)
        parts.append(part)
    assert np.array_equal(np.concatenate([np.zeros(0, np.int16), *parts]), whole)
    assert state == end or not sizes
    assert np.array_equal(comfort_noise(-40.0, 50, state)[0], comfort_noise(-40.0, 50, end)[0])


def test_comfort_noise_does_not_echo_itself():
    pcm = comfort_noise(-30.0, 32000, 0)[0].astype(float)
    spectrum = np.abs(np.fft.rfft(pcm, 65536)) ** 2
    likeness = np.abs(np.fft.irfft(spectrum) / (pcm @ pcm))
    assert likeness[2:7900].max() < 0.05
    assert likeness[7900:24000].max() < 0.45  # each of the two loops comes round alone, half as loud


def test_comfort_noise_of_distant_states_differs():
    one, two = comfort_noise(-40, 1600, 1)[0].astype(float), comfort_noise(-40, 1600, 10**6)[0].astype(float)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1


# ---------------------------------------------------------------------------------------------------------- loudness


def test_levels():
    assert rms_dbfs(np.full(100, -32768, dtype=np.int16)) == pytest.approx(0.0, abs=1e-3)
    assert rms_dbfs(tone(100, 8000, 1.0, peak=32767)) == pytest.approx(-3.01, abs=0.01)
    assert rms_dbfs(np.zeros(100, dtype=np.int16)) == rms_dbfs(np.zeros(0, dtype=np.int16)) == -96.0


@pytest.mark.parametrize(
    ("measured", "gain"), [(-18.0, 0.0), (-24.0, 6.0), (-10.0, -8.0), (-60.0, 12.0), (0.0, -12.0), (-96.0, 0.0)]
)
def test_match_gain(measured, gain):
    assert match_gain_db(measured, target=-18.0, limit=12.0) == gain


@pytest.mark.parametrize("format", [PCMU, PCMA, PCM16_8K])
def test_noise_on_the_wire_is_one_stream_however_it_is_cut(format):
    whole, cut = ComfortNoise(format), ComfortNoise(format)
    data = whole.next(4 * format.rate - 7) + whole.next(160)  # across the seam
    assert b"".join(cut.next(size) for size in [1, 159] * 199 + [4 * 8000 - 7 - 199 * 160, 160]) == data
    assert rms_dbfs(decode(data, format.encoding)) == pytest.approx(-62, abs=1.0)
    assert np.abs(np.diff(decode(data, format.encoding).astype(int))).max() < 256


@pytest.mark.parametrize("format", [PCMU, PCMA, PCM16_8K])
def test_noise_takes_the_place_of_silence_and_leaves_sound_alone(format):
    comfort = ComfortNoise(format)
    sound = encode(tone(300, format.rate, 0.02), format.encoding)
    assert comfort.fill(sound, 0) is sound
    silence = format.silence * 160
    assert rms_dbfs(decode(comfort.fill(silence, 0), format.encoding)) == pytest.approx(-62, abs=2)
    half = len(sound) // 2
    mixed = comfort.fill(sound[:half] + silence[half:], 80)
    assert mixed[:half] == sound[:half]
    assert rms_dbfs(decode(mixed[half:], format.encoding)) == pytest.approx(-62, abs=2)
