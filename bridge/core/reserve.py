"""The standby: opened when the route wants one or trouble is near, proven while it waits, renewed before it expires."""

from __future__ import annotations

from bridge.core.briefing import Briefing
from bridge.core.chooser import Chooser
from bridge.core.desk import MS, Desk
from bridge.core.events import Chosen
from bridge.core.links import Link, Links
from providers.base import Probe

PROOF_MS = 2000
REOPEN_MS = 5000


class Reserve:
    """`link`: the standby, ready or on its way. `first_audio_ms`: how soon its provider usually speaks (p90)."""

    def __init__(self, desk: Desk, links: Links, chooser: Chooser, briefing: Briefing) -> None:
        self._desk = desk
        self._links = links
        self._chooser = chooser
        self._briefing = briefing
        self.link: Link | None = None
        self.first_audio_ms = 800
        self._cold = False  # it was said that there can be none for now

    def want(self, avoid: set[str]) -> None:
        """Have a standby that is none of `avoid`."""
        if self.link is None:
            self._chooser.ask("standby", avoid)

    def chosen(self, provider: str | None, event: Chosen) -> None:
        """The health board's answer."""
        if provider is None:
            if event.retry_ms is not None and not self._cold:
                self._cold = True
                self._desk.note("noticed", what=f"no standby for now, the call runs cold: {event.reason}")
            self._desk.after("standby", event.retry_ms or self._desk.deadlines.standby_probe)
        elif self.link is None:
            self._cold = False
            self.link = self._links.open(provider, "standby")
            self.first_audio_ms = event.first_audio_p90_ms

    def ready(self) -> None:
        """The standby is configured."""
        self._desk.after("standby", self._desk.deadlines.standby_probe)
        if self._desk.plan.standby == "seeded":
            self.seed()

    def take(self) -> Link | None:
        """Give the standby away."""
        link, self.link = self.link, None
        return link

    def lost(self) -> None:
        """The standby failed; another is opened after a while."""
        self.link = None
        self._desk.after("standby", REOPEN_MS)

    def drop(self, why: str) -> None:
        if self.link is not None:
            self._links.close(self.link, why)
            self.link = None

    def seed(self) -> None:
        """Tell the standby the conversation so far, where history may be added to a session more than once."""
        link = self.link
        if link is not None and link.ready and link.candidate.capabilities.history_anytime:
            self._briefing.update(link)

    def probe(self, link: Link, budget_ms: int) -> None:
        """Ask the session for a sign of life; the timer "proof N" runs out without one."""
        link.probing = True
        self._links.send(link, Probe())
        self._desk.after(f"proof {link.number}", budget_ms)

    def proven(self, link: Link) -> None:
        """The link answered a probe."""
        link.probing = False
        self._desk.timers.clear(f"proof {link.number}")

    def look_after(self) -> bool:
        """The timer "standby": prove a living one, let go of one that grows old. False when there is none (now)."""
        link = self.link
        if link is None:
            return False
        margin = self._desk.deadlines.rotate_before * MS
        if link.ready and link.expires_ns is not None and link.expires_ns - margin < self._desk.now:
            self.drop("renewed before its session limit")
            return False
        if link.ready and link.candidate.capabilities.probe_command:
            self.probe(link, PROOF_MS)
        self._desk.after("standby", self._desk.deadlines.standby_probe)
        return True
