"""Between the leg's audio and a provider's: the only place where either is converted."""

from __future__ import annotations

from dataclasses import replace

from audio import frame, g711
from audio.auto_gain import AutoGain
from audio.frame import Format
from audio.resample import Resampler, convert
from providers.base import (
    Audio,
    BeginTurn,
    Command,
    EndTurn,
    Event,
    Failure,
    Fault,
    HistoryItem,
    Noticed,
    ReplyAudio,
    ReplyComplete,
    ReplyEnded,
    Seed,
    Speech,
)
from providers.codec import Capabilities, Codec, Dial


class Translator:
    """A codec seen from a leg: audio in commands and events is in the leg's format. Where the codec speaks that format
    too, bytes pass through untouched. `gain`: all caller audio, streamed or seeded, goes through it, in order."""

    def __init__(self, codec: Codec, leg: Format, gain: AutoGain | None = None) -> None:
        self._codec = codec
        self._leg = leg
        self._gain = gain
        self._inward = Converter(leg, codec.input_format) if leg != codec.input_format else None
        # 16-bit audio goes through a converter in any case, which sees to it that samples are whole.
        same = leg == codec.output_format and leg.width == 1
        self._outward = None if same else Converter(codec.output_format, leg)
        self._held: tuple[int, str] | None = None  # ask and item whose tail is still in the outward converter

    @property
    def capabilities(self) -> Capabilities:
        return self._codec.capabilities

    def dial(self) -> Dial:
        return self._codec.dial()

    def fault(self, failure: Failure) -> Fault:
        return self._codec.fault(failure)

    def encode(self, command: Command) -> list[str | bytes]:
        """Messages to send for the command."""
        if self._gain is not None:
            command = _raised(command, self._gain)
        inward = self._inward
        if inward is None:
            return self._codec.encode(command)
        if isinstance(command, Audio):
            return self._audio(inward.process(command.data))
        if isinstance(command, BeginTurn):
            inward.reset()
        elif isinstance(command, EndTurn):
            return self._audio(inward.flush()) + self._codec.encode(command)
        elif isinstance(command, Seed):
            return self._codec.encode(Seed(tuple(self._seeded(item) for item in command.items)))
        return self._codec.encode(command)

    def decode(self, message: str | bytes) -> list[Event]:
        """Events of a provider message. Nothing a provider sends raises: should a decoder fail, that is reported and
        the message skipped."""
        try:
            events = self._codec.decode(message)
        except Exception as error:  # the promise of Codec.decode, kept even when a codec breaks it
            return [Noticed(f"skipped: the decoder failed with {type(error).__name__}")]
        if self._outward is None:
            return events
        return self._converted(events, self._outward)

    def _audio(self, data: bytes) -> list[str | bytes]:
        return self._codec.encode(Audio(data)) if data else []

    def _seeded(self, item: HistoryItem) -> HistoryItem:
        if not isinstance(item, Speech):
            return item
        wire = self._codec.input_format
        pcm = frame.decode(_whole(item.data, self._leg), self._leg.encoding)
        return replace(item, data=frame.encode(convert(pcm, self._leg.rate, wire.rate), wire.encoding))

    def _converted(self, events: list[Event], outward: Converter) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, ReplyAudio):
                if self._held != (event.ask, event.item):
                    self._flush(outward, out)
                    self._held = (event.ask, event.item)
                data = outward.process(event.data)
                if data:
                    out.append(ReplyAudio(event.ask, event.item, data))
                continue
            if isinstance(event, (ReplyComplete, ReplyEnded)) and self._held and self._held[0] == event.ask:
                self._flush(outward, out)
            out.append(event)
        return out

    def _flush(self, outward: Converter, out: list[Event]) -> None:
        """What the converter still holds of the last item belongs to that item."""
        if self._held is None:
            return
        tail = outward.flush()
        if tail:
            out.append(ReplyAudio(*self._held, tail))
        self._held = None


class Converter:
    """Audio bytes of one format to another, in pieces of any length.

    Half a sample at the end of a piece is dropped: no server cuts there, so it is the mark of a damaged piece, and
    keeping it would turn all that follows into noise. u-law and A-law become each other by table.
    """

    def __init__(self, source: Format, target: Format) -> None:
        self._source = source
        self._target = target
        self._resampler = Resampler(source.rate, target.rate) if source.rate != target.rate else None
        self._same = source == target
        laws = (source.encoding, target.encoding) if self._resampler is None else None
        self._table = {("pcmu", "pcma"): g711.ulaw_to_alaw, ("pcma", "pcmu"): g711.alaw_to_ulaw}.get(laws or ("", ""))

    def process(self, data: bytes) -> bytes:
        """What `data` completes."""
        if self._table is not None:
            return self._table(data)
        data = _whole(data, self._source)
        if self._same or not data:
            return data
        pcm = frame.decode(data, self._source.encoding)
        if self._resampler is not None:
            pcm = self._resampler.process(pcm)
        return frame.encode(pcm, self._target.encoding)

    def flush(self) -> bytes:
        """What is still on its way through; the converter is then as new."""
        return b"" if self._resampler is None else frame.encode(self._resampler.flush(), self._target.encoding)

    def reset(self) -> None:
        """Forget what is on its way through."""
        if self._resampler is not None:
            self._resampler.reset()


def _raised(command: Command, gain: AutoGain) -> Command:
    if isinstance(command, Audio):
        return Audio(gain.process(command.data))
    if isinstance(command, Seed):
        raised = (
            replace(item, data=gain.process(item.data)) if isinstance(item, Speech) else item for item in command.items
        )
        return Seed(tuple(raised))
    return command


def _whole(data: bytes, format: Format) -> bytes:
    """`data` without the half sample it may end with."""
    over = len(data) % format.width
    return data[:-over] if over else data
