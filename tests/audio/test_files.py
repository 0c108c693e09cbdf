"""Sound files: exact round trips, every rate, and messages that say what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.files import AudioFileError, check_audio, read_audio, read_channels, write_audio


def noise(samples: int, channels: int = 1, seed: int = 3) -> np.ndarray:
    shape = (samples,) if channels == 1 else (samples, channels)
    return np.random.default_rng(seed).integers(-32768, 32767, shape, endpoint=True).astype(np.int16)


def tone(rate: int, seconds: float = 0.5) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize("ending", ["wav", "flac", "WAV"])
@pytest.mark.parametrize("rate", [8000, 24000])
def test_mono_round_trip_is_exact(tmp_path, ending, rate):
    path, pcm = tmp_path / f"a.{ending}", noise(300_001)
    write_audio(path, pcm, rate)
    assert np.array_equal(read_audio(path, rate), pcm)
    assert read_audio(path, rate).dtype == np.int16
    assert check_audio(path) == ""


def test_stereo_keeps_its_sides_and_mixes_to_their_mean(tmp_path):
    path, pcm = tmp_path / "a.flac", noise(5000, 2)
    write_audio(str(path), pcm, 16000)
    assert np.array_equal(read_channels(path, 16000), pcm)
    assert np.abs(read_audio(path, 16000) - pcm.astype(float).mean(axis=1)).max() <= 0.5
    down = read_channels(path, 8000)
    assert down.shape == (2500, 2)


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 32000, 44100, 48000])
@pytest.mark.parametrize("wanted", [8000, 24000])
def test_any_usual_rate_is_converted(tmp_path, rate, wanted):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(rate), rate)
    pcm = read_audio(path, wanted)
    assert abs(len(pcm) - wanted / 2) <= 1
    ideal = 0.4 * 32768 * np.sin(2 * np.pi * 440 * np.arange(len(pcm)) / wanted)
    assert np.abs(pcm - ideal)[wanted // 50 : -wanted // 50].max() < 60


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_every_kind_of_sample_comes_at_its_level(tmp_path, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8000), 8000, subtype=subtype)
    assert np.abs(read_audio(path, 8000) / 32768 - tone(8000)).max() < 0.02


def test_float_samples_out_of_range_or_without_value_are_tamed(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([2.0, -2.0, np.nan, np.inf, -np.inf, 0.25]), 8000, subtype="DOUBLE")
    assert read_audio(path, 8000).tolist() == [32767, -32768, 0, 32767, -32768, 8192]


def test_a_wav_cut_short_gives_what_it_holds(tmp_path):
    path, pcm = tmp_path / "a.wav", noise(4000)
    write_audio(path, pcm, 8000)
    path.write_bytes(path.read_bytes()[:4044])
    assert np.array_equal(read_audio(path, 8000), pcm[:2000])


def test_plain_wav_is_read_without_libsndfile_and_alike(tmp_path):
    """Mono and stereo; also where the header of a stream claims more than there is."""
    for channels in (1, 2):
        path, pcm = tmp_path / f"{channels}.wav", noise(4000, channels)
        write_audio(path, pcm, 8000)
        data = bytearray(path.read_bytes())
        data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
        (tmp_path / f"endless{channels}.wav").write_bytes(data)
        np.save(tmp_path / f"{channels}.npy", pcm.reshape(len(pcm), -1))
    program = (
        "import sys, numpy as np; from audio.files import check_audio, read_audio, read_channels, seconds_of\n"
        "for channels in '12':\n"
        "    for name in channels, 'endless' + channels:\n"
        "        pcm = np.load(channels + '.npy')\n"
        "        assert np.array_equal(read_channels(name + '.wav', 8000), pcm), name\n"
        "        assert np.abs(read_audio(name + '.wav', 8000) - pcm.mean(axis=1)).max() <= 0.5, name\n"
        "        assert check_audio(name + '.wav') == '' and abs(seconds_of(name + '.wav') - 0.5) < 0.01, name\n"
        "assert 'soundfile' not in sys.modules\n"
    )
    root = str(Path(__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def broken(folder, case):
    path = folder / "greeting.wav"
    if case == "folder":
        path.mkdir()
    elif case == "text":
        path.write_text("this is no sound")
    elif case == "empty":
        path.touch()
    elif case == "no samples":
        soundfile.write(path, np.zeros(0), 8000)
    elif case == "slow":
        soundfile.write(path, tone(6000), 6000)
    elif case == "fast":
        soundfile.write(path, tone(96000), 96000)
    elif case == "headerless":
        path = folder / "greeting.raw"
        path.write_bytes(noise(100).tobytes())
    elif case == "damaged":
        path = folder / "greeting.flac"
        write_audio(path, noise(20000), 8000)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    return path


@pytest.mark.parametrize(
    ("case", "says", "mends"),
    [
        ("missing", "no such file", "check the path"),
        ("folder", "cannot be read", "check that it is a file"),
        ("text", "not a sound file", "export it as WAV or FLAC"),
        ("empty", "is empty", "export it again"),
        ("no samples", "holds no sound", "record it again"),
        ("slow", "unsupported rate of 6000 Hz", "8000 to 48000 Hz"),
        ("fast", "unsupported rate of 96000 Hz", "8000 to 48000 Hz"),
        ("headerless", "not a sound file", "export it as WAV or FLAC"),
        ("damaged", "damaged", "export it again"),
    ],
)
def test_an_unusable_file_is_named_with_its_fault_and_remedy(tmp_path, case, says, mends):
    path = broken(tmp_path, case)
    for read in (read_audio, read_channels):
        with pytest.raises(AudioFileError) as caught:
            read(path, 8000)
        assert str(path) in str(caught.value) and says in str(caught.value) and mends in str(caught.value)
        assert (caught.value.path, says in caught.value.what, mends in caught.value.mend) == (path, True, True)
    if case != "damaged":  # the beginning of that one is sound
        assert check_audio(path).startswith(f"{path}: ") and says in check_audio(path)


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path, old = tmp_path / "a.wav", noise(100)
    write_audio(path, old, 8000)

    def fails(file, *args, **kwargs):
        file.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", fails)
    with pytest.raises(AudioFileError, match="No space left on device"):
        write_audio(path, noise(200), 8000)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]
    assert np.array_equal(read_audio(path, 8000), old)


def test_writing_to_a_bad_place_or_name(tmp_path):
    with pytest.raises(AudioFileError, match="No such file or directory"):
        write_audio(tmp_path / "none" / "a.wav", noise(10), 8000)
    with pytest.raises(AudioFileError, match=r"end it in \.wav or \.flac"):
        write_audio(tmp_path / "a.mp3", noise(10), 8000)


@pytest.mark.parametrize("pcm", [noise(10).astype(np.float64), noise(10, 3), noise(8).reshape(2, 2, 2)])
def test_writing_takes_int16_mono_or_stereo_only(tmp_path, pcm):
    with pytest.raises(ValueError, match="int16"):
        write_audio(tmp_path / "a.wav", pcm, 8000)
    assert not list(tmp_path.iterdir())
