"""Sound files as int16 samples: reads what libsndfile reads (WAV, FLAC, Ogg, MP3), writes WAV and FLAC. It blocks.

libsndfile is loaded with the first file that needs it: 2 MiB that a server whose phrases are plain WAV does without.
"""

from __future__ import annotations

import os
import wave
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from audio.frame import Pcm
from audio.resample import convert

LOWEST_RATE = 8000
HIGHEST_RATE = 48000
_BLOCK = 1 << 18  # samples a channel read at once
_WIDTH = 2  # bytes of a sample in WAV files that are read without libsndfile
_FORMATS = {".wav": "WAV", ".flac": "FLAC"}
_temporary = count()


class AudioFileError(Exception):
    """A sound file cannot be used. `what` is wrong with the file at `path`; `mend` is what to do about it."""

    def __init__(self, path: Path, what: str, mend: str) -> None:
        super().__init__(f"{path}: {what}; {mend}")
        self.path = path
        self.what = what
        self.mend = mend


def read_audio(path: str | Path, rate: int) -> Pcm:
    """The file's sound as 1-D int16 at `rate` Hz; several channels are averaged.

    Raises AudioFileError when it is missing, unreadable, empty or outside 8000 to 48000 Hz.
    """
    path = Path(path)
    with _open(path) as file:
        blocks = [_to_int16(block.mean(axis=1)) for block in _blocks(path, file)]
        return convert(np.concatenate(blocks), file.samplerate, rate)


def seconds_of(path: str | Path) -> float:
    """How long the file's sound lasts, by its header. Raises AudioFileError like `read_audio`."""
    with _open(Path(path)) as file:
        return float(file.frames / file.samplerate)


def read_channels(path: str | Path, rate: int) -> Pcm:
    """The file's sound as int16 of shape (samples, channels) at `rate` Hz. Raises AudioFileError like `read_audio`."""
    path = Path(path)
    with _open(path) as file:
        sound = np.concatenate([_to_int16(block) for block in _blocks(path, file)])
        return np.stack([convert(channel, file.samplerate, rate) for channel in sound.T], axis=1)


def check_audio(path: str | Path) -> str:
    """What keeps `read_audio` from using the file, as a short text; "" when nothing does. Reads little of it."""
    path = Path(path)
    try:
        with _open(path) as file:
            next(_blocks(path, file, 1024))
    except AudioFileError as error:
        return f"{path}: {error.what}"
    return ""


def write_audio(path: str | Path, pcm: Pcm, rate: int) -> None:
    """Writes int16 samples, mono (n,) or stereo (n, 2), as 16-bit WAV or FLAC by the name's ending.

    The file appears whole or not at all: it is written beside its place and renamed. Raises ValueError for another
    shape or sample type, AudioFileError for another ending or when it cannot be written.
    """
    path = Path(path)
    if pcm.dtype != np.int16 or not (pcm.ndim == 1 or (pcm.ndim == 2 and pcm.shape[1] == 2)):
        raise ValueError(f"int16 samples of shape (n,) or (n, 2) are written, not {pcm.dtype} of shape {pcm.shape}")
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise AudioFileError(path, "is neither WAV nor FLAC by its name", "end it in .wav or .flac")
    import soundfile  # noqa: PLC0415 - see above

    part = path.with_name(f".{path.name}.{os.getpid()}.{next(_temporary)}.part")
    try:
        with part.open("xb") as file:
            soundfile.write(file, pcm, rate, format=kind, subtype="PCM_16")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            path, f"cannot be written ({_reason(error)})", "check the folder and its free space"
        ) from error
    finally:
        part.unlink(missing_ok=True)


class _File(Protocol):
    """What is used of `soundfile.SoundFile`."""

    samplerate: int
    frames: int

    def read(self, frames: int, dtype: str, always_2d: bool) -> Any: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class _PlainWav:
    """A WAV file of 16-bit samples as a `_File`. Raises wave.Error or EOFError when it is none."""

    def __init__(self, path: Path) -> None:
        self._file = wave.open(os.fspath(path), "rb")  # noqa: SIM115 - closed like any `_File`
        if self._file.getsampwidth() != _WIDTH:
            self.close()
            raise wave.Error("not of 16-bit samples")
        self.samplerate = self._file.getframerate()
        # The header of a stream written without an end claims more than there is.
        self.frames = min(self._file.getnframes(), path.stat().st_size // (_WIDTH * self._file.getnchannels()))

    def read(self, frames: int, dtype: str, always_2d: bool) -> NDArray[np.float32]:
        channels = self._file.getnchannels()
        data = self._file.readframes(frames)
        pcm = np.frombuffer(data[: len(data) - len(data) % (_WIDTH * channels)], "<i2")  # it may be cut short
        return pcm.reshape(-1, channels).astype(np.float32) / np.float32(32768.0)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(path: Path) -> _File:
    try:
        with path.open("rb") as raw:  # libsndfile calls every trouble with a file "System error"
            if not raw.read(1):
                raise AudioFileError(path, "is empty", "record or export it again")
        file = _opened(path)
    except FileNotFoundError:
        raise AudioFileError(path, "no such file", "check the path; it is relative to the working folder") from None
    except OSError as error:
        raise AudioFileError(
            path, f"cannot be read ({_reason(error)})", "check that it is a file you may read"
        ) from error
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        file.close()
        wanted = f"export it at {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        raise AudioFileError(path, f"has an unsupported rate of {file.samplerate} Hz", wanted)
    return file


def _opened(path: Path) -> _File:
    try:
        return _PlainWav(path)
    except (wave.Error, EOFError):
        import soundfile  # noqa: PLC0415 - see above
    try:
        file: _File = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: headerless .raw
        raise AudioFileError(path, "is not a sound file that can be read", "export it as WAV or FLAC") from error
    return file


def _blocks(path: Path, file: _File, size: int = _BLOCK) -> Iterator[NDArray[np.float32]]:
    """The file's samples as float32 of shape (n, channels), full scale 1.0; at least one block."""
    empty = True
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except RuntimeError as error:  # LibsndfileError among them
            raise AudioFileError(path, f"is damaged ({_reason(error)})", "export it again as WAV or FLAC") from error
        if not len(block):
            break
        empty = False
        yield block
    if empty:
        raise AudioFileError(path, "holds no sound", "record it again; one sample at least is needed")


def _to_int16(sound: NDArray[np.float32]) -> Pcm:
    """Float samples may lie outside full scale or be no number at all; 16-bit ones come back exactly."""
    whole = np.clip(np.nan_to_num(np.rint(sound * 32768.0)), -32768, 32767)
    return np.asarray(whole, dtype=np.int16)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(getattr(error, "error_string", error)).rstrip(".")
