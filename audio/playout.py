"""The playout buffer: what was received to be played, what was sent, and what the caller has heard of it.

Positions count samples of agent audio in the order sent, silence between replies left out. The carrier plays what it
was sent at real time; we send with a small lead, so *heard* follows from our own send clock, corrected by the carrier's
marks. Time is an argument: integer nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from audio.frame import Format
from audio.joins import OUT_MS

LATE_MARK_NS = 500_000_000
MARK_EVERY_MS = 200
SLACK_MS = 10  # a pacer may fire a little early
SLACK_NS = SLACK_MS * 1_000_000
FRAME_NS = 20_000_000
FILL_NS = 2 * FRAME_NS  # from one pull to the next


@dataclass(slots=True)
class Track:
    """The audio of one reply (or phrase). `key` is the caller's own, `begin` the position of its first sample once
    something was sent, `done` that no more will be pushed."""

    key: int
    begin: int = -1
    pushed: int = 0
    sent: int = 0
    done: bool = False
    chunks: list[bytes] = field(default_factory=list)

    @property
    def unsent(self) -> int:
        return self.pushed - self.sent


@dataclass(slots=True)  # made for every frame: frozen would take twice as long
class Outgoing:
    """What a pull produced: wire bytes, a mark to send after them (or ""), and how long the caller heard silence
    within a reply before them (ns). `ended`: nothing of the track follows; the last `pad` samples fill up the frame."""

    data: bytes
    mark: str = ""
    underrun_ns: int = 0
    key: int = 0
    began: bool = False
    ended: bool = False
    pad: int = 0


class Playout:
    """Tracks queue one behind the other. `lead_ms` bounds what the carrier holds unheard."""

    def __init__(self, format: Format, lead_ms: int = 60, marks: bool = True) -> None:
        self.format = format
        self._width = format.width
        self._rate = format.rate
        self._frame = format.rate // 50
        self._lead = format.rate * lead_ms // 1000
        self._fade = format.rate * OUT_MS // 1000
        self._slack = format.rate * SLACK_MS // 1000
        self._tracks: list[Track] = []
        self._known: dict[int, Track] = {}
        self._sent = 0
        self._anchor = 0
        self._anchor_ns = 0
        self._epoch = 0
        self._marks = marks
        self._mark_step = format.rate * MARK_EVERY_MS // 1000
        self._marked = 0
        self._mark_count = 0
        self._pending: dict[str, tuple[int, int]] = {}
        self._filled_ns = 0
        self._silent = False  # all was heard, and nothing has changed since
        self.filling = False  # what `fill` asks for is sent
        self.held = False

    # ------------------------------------------------------------------------------------------------------ filling

    def push(self, key: int, data: bytes) -> None:
        """Append audio to the track `key`, queued behind every track opened before."""
        track = self._known.get(key)
        if track is None:
            track = self._known[key] = Track(key)
            self._tracks.append(track)
            self._silent = False
        track.chunks.append(data)
        track.pushed += len(data) // self._width

    def finish(self, key: int) -> None:
        """No more audio will come for this track."""
        track = self._known.get(key)
        if track is not None:
            track.done = True
            if not track.unsent and track in self._tracks:
                self._tracks.remove(track)

    def drop(self, key: int) -> None:
        """Forget the unsent audio of one track, but for a few ms to fade out in where it sounds."""
        track = self._known.get(key)
        if track is not None:
            self._truncate(track, track.sent + (self._fade if track.sent else 0))

    def keep(self, key: int, samples: int) -> bytes:
        """Cut the unsent tail so that `samples` of the track are played in all, and finish it. Returns the tail."""
        track = self._known.get(key)
        if track is None:
            return b""
        unsent = b"".join(track.chunks)
        self._truncate(track, max(samples, track.sent))
        return unsent[track.unsent * self._width :]

    def resume(self, key: int, data: bytes) -> None:
        """A finished track goes on after all, first with `data`."""
        track = self._known.get(key)
        if track is None:
            return
        track.done = self._silent = False
        if track not in self._tracks:
            self._tracks.append(track)
        if data:
            self.push(key, data)

    def _truncate(self, track: Track, samples: int) -> None:
        excess = track.pushed - samples
        while excess > 0:
            last = track.chunks.pop()
            size = len(last) // self._width
            if size > excess:
                track.chunks.append(last[: (size - excess) * self._width])
                size = excess
            track.pushed -= size
            excess -= size
        self.finish(track.key)

    def rest(self, key: int) -> bytes:
        """The unsent audio of a track."""
        track = self._known.get(key)
        return b"".join(track.chunks) if track is not None else b""

    # ------------------------------------------------------------------------------------------------------ sending

    @property
    def ready(self) -> bool:
        """Is there anything a pull could send now?"""
        if self.held or not self._tracks:
            return False
        head = self._tracks[0]
        unsent = head.pushed - head.sent
        return unsent >= self._frame or (head.done and unsent > 0)

    def pull(self, now: int) -> Outgoing | None:
        """Top the carrier up to the lead, in whole 20 ms frames; None when there is nothing to send yet."""
        heard = self.position(now)
        frames = (self._lead + self._slack - (self._sent - heard)) // self._frame
        if frames <= 0 or not self.ready:
            return None
        head = self._tracks[0]
        parts: list[bytes] = []
        began = head.sent == 0
        underrun = 0
        if heard >= self._sent:
            if not began:
                underrun = max(0, now - self._heard_at(self._sent))
            self._anchor, self._anchor_ns = self._sent, max(now, self._filled_ns)
        if began:
            head.begin = self._sent
        wanted = frames * self._frame
        sound = -head.sent
        got = self._take(head, wanted, parts)
        sound += head.sent
        self._sent += got
        ended = head.done and not head.unsent
        if ended:
            del self._tracks[0]
        mark = self._next_mark(head, now)
        return Outgoing(b"".join(parts), mark, underrun, head.key, began, ended, got - sound)

    def fill(self, now: int) -> int:
        """Samples of something else (noise) that have to be sent now for the line not to fall silent before the next
        pull: whole frames, 0 when enough is left to hear. They count for no track, only delay what is sent next."""
        ahead = max(0, max(self._heard_at(self._sent), self._filled_ns) - now)
        frames = (FILL_NS + SLACK_NS - ahead) // FRAME_NS
        if self.held or frames <= 0:
            return 0
        self.filled(frames * self._frame, now)
        return frames * self._frame

    def filled(self, samples: int, now: int) -> None:
        """`samples` of something else were sent."""
        begin = max(now, self._heard_at(self._sent), self._filled_ns)
        self._filled_ns = begin + samples * 1_000_000_000 // self._rate

    def _take(self, track: Track, wanted: int, parts: list[bytes]) -> int:
        """Move up to `wanted` samples out of the track. A part frame goes out only at the end of the track, filled up
        with silence."""
        if track.unsent < wanted:
            wanted = track.unsent if track.done else track.unsent - track.unsent % self._frame
        taken = 0
        while taken < wanted:
            chunk = track.chunks[0]
            size = len(chunk) // self._width
            if size > wanted - taken:
                cut = (wanted - taken) * self._width
                track.chunks[0] = chunk[cut:]
                chunk = chunk[:cut]
                size = wanted - taken
            else:
                del track.chunks[0]
            parts.append(chunk)
            taken += size
        track.sent += taken
        pad = -taken % self._frame
        if pad:
            parts.append(self.format.silence * pad)
        return taken + pad

    def _next_mark(self, track: Track, now: int) -> str:
        if not self._marks:
            return ""
        ended = track.done and not track.unsent
        if self._sent - self._marked < self._mark_step and not ended:
            return ""
        self._marked = self._sent
        self._mark_count += 1
        name = f"{self._epoch}:{self._mark_count}"
        self._pending[name] = (self._sent, self._heard_at(self._sent))
        return name

    # ------------------------------------------------------------------------------------------------------- hearing

    def position(self, now: int) -> int:
        """How far the caller has heard, in samples of everything sent."""
        since = max(0, now - self._anchor_ns)  # what is sent behind something else is yet to begin
        return min(self._sent, self._anchor + since * self._rate // 1_000_000_000)

    def ahead(self, now: int) -> int:
        """Samples sent and not heard yet."""
        return self._sent - self.position(now)

    @property
    def until(self) -> int:
        """When all that was sent is heard, ns."""
        return self._heard_at(self._sent)

    def _heard_at(self, position: int) -> int:
        return self._anchor_ns + (position - self._anchor) * 1_000_000_000 // self._rate

    def heard(self, key: int, now: int) -> int:
        """Samples of the track that the caller has heard."""
        track = self._known.get(key)
        if track is None or track.begin < 0:
            return 0
        return max(0, min(track.sent, self.position(now) - track.begin))

    def pushed(self, key: int) -> int:
        """Samples of the track received so far (less what was cut)."""
        track = self._known.get(key)
        return track.pushed if track is not None else 0

    def finished(self, key: int) -> bool:
        """Nothing more of the track is to be sent."""
        track = self._known.get(key)
        return track is None or (track.done and not track.unsent)

    def heard_out(self, key: int, now: int) -> bool:
        """All of the track that was sent is heard."""
        track = self._known.get(key)
        return track is None or track.begin < 0 or self.position(now) >= track.begin + track.sent

    def left(self, now: int) -> int:
        """Samples still to be heard: unsent and sent ahead."""
        if self._silent:  # asked with every caller frame
            return 0
        ahead = self._sent - self._anchor - (now - self._anchor_ns) * self._rate // 1_000_000_000
        left = ahead if ahead > 0 else 0
        for track in self._tracks:
            left += track.pushed - track.sent
        self._silent = not left and not self._tracks
        return left

    def marked(self, name: str, now: int) -> int:
        """The carrier reports a mark. Returns how late it came in ns when that moved the clock, else 0."""
        entry = self._pending.pop(name, None)
        if entry is None:
            return 0
        position, due = entry
        late = now - due
        if late <= LATE_MARK_NS:
            return 0
        self._anchor, self._anchor_ns = position, now
        self._silent = False
        self._pending = {key: (at, when + late) for key, (at, when) in self._pending.items()}
        return late

    # ------------------------------------------------------------------------------------------------------ stopping

    def clear(self, now: int) -> None:
        """Barge-in: nothing more is heard, neither unsent nor sent ahead. Opens a new epoch of marks."""
        position = self.position(now)
        for track in self._tracks:
            track.chunks.clear()
            track.pushed = track.sent
            track.done = True
        self._tracks.clear()
        self._filled_ns = now
        for track in self._known.values():
            if track.begin >= 0:
                track.sent = track.pushed = max(0, min(track.sent, position - track.begin))
        self._sent = position
        self._anchor, self._anchor_ns = position, now
        self._new_epoch()

    def detach(self, now: int) -> None:
        """The carrier is gone: what it held unheard is void, unsent audio waits."""
        self.held = True
        position = self.position(now)
        self._sent = self._anchor = position
        self._anchor_ns = self._filled_ns = now
        self._new_epoch()

    def attach(self) -> None:
        """The carrier is back."""
        self.held = False

    def forget(self, key: int) -> None:
        """Give up what is known of a track that is over."""
        self._known.pop(key, None)

    def _new_epoch(self) -> None:
        self._epoch += 1
        self._marked = self._sent
        self._pending.clear()
