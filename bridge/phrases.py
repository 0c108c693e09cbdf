"""Short local messages, spoken when no provider can: read from files and kept in the wire form of each kind of leg."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from audio.files import check_audio, read_audio, seconds_of
from audio.frame import Format, encode

NAMES = ("sorry", "rephrase", "hold", "goodbye", "message")
FOLDER = Path(__file__).parent / "assets" / "phrases"
MAX_SECONDS = 30.0


def find(say: str, folder: Path) -> Path:
    """The file of `say`: one of `NAMES`, or a path that counts from `folder`. A bare `sorry.wav` that is not there
    is Segue's own phrase of that name."""
    if not is_file(say):
        return FOLDER / f"{say}.wav"
    path = folder / Path(say).expanduser()
    if not path.exists() and "/" not in say and Path(say).stem in NAMES:
        return FOLDER / f"{Path(say).stem}.wav"
    return path


@lru_cache(maxsize=64)
def is_file(say: str) -> bool:
    """Whether `say` names a file rather than a phrase that comes with Segue."""
    return bool(Path(say).suffix) or "/" in say


def problem(path: Path) -> str:
    """What is wrong with an audio file, in words that follow its key; empty when nothing is."""
    wrong = check_audio(path)
    if wrong:
        return wrong
    seconds = seconds_of(path)
    if seconds > MAX_SECONDS:
        return f"{path} lasts {seconds:.1f} s; a phrase lasts up to {MAX_SECONDS:.0f} s"
    return ""


def load(path: Path, leg: Format) -> bytes:
    """The phrase in `leg`'s wire form. Kept per file, modification and format, so that a call pays for it once.
    Raises OSError or AudioFileError when the file cannot be read."""
    return _load(path, path.stat().st_mtime_ns, leg)


@lru_cache(maxsize=64)
def _load(path: Path, _modified: int, leg: Format) -> bytes:
    return encode(read_audio(path, leg.rate), leg.encoding)
