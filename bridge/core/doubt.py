"""A standby that was taken must give a sign of life at once. When it does not, another is dialled beside it, as the new
standby: whoever is ready first serves, and nobody is given up for being slow alone."""

from __future__ import annotations

from bridge.core.chooser import Chooser
from bridge.core.desk import Desk
from bridge.core.links import Link
from bridge.core.reserve import Reserve


class Doubt:
    """`link`: the standby that was taken and has shown nothing since. `beside`: another was asked for."""

    def __init__(self, desk: Desk, chooser: Chooser, reserve: Reserve) -> None:
        self._desk = desk
        self._chooser = chooser
        self._reserve = reserve
        self.link: Link | None = None
        self.beside = False

    def watch(self, link: Link) -> None:
        """The link was taken just now."""
        self.link = link
        self.beside = False
        self._desk.after("doubt", self._desk.deadlines.standby_ack)

    def dial(self, avoid: set[str]) -> None:
        """Have another that is none of `avoid`: at the timer "doubt", and again when that one failed too."""
        link = self.link
        if link is None:
            return
        if not self.beside:
            self.beside = True
            waited = self._desk.deadlines.standby_ack
            what = f"the standby gave no sign of life within {waited} ms, the next one is dialled as well"
            self._desk.note("noticed", what=what, provider=link.provider)
        if self._reserve.link is None:
            self._chooser.ask("beside", avoid | {link.provider}, owed=True)

    def over(self, link: Link | None) -> None:
        """The link has given a sign of life, or is no more. One that was dialled beside a living link stays as standby
        where the route wants one."""
        if link is None or link is not self.link:
            return
        self.link = None
        self._desk.timers.clear("doubt")
        if self.beside and link.ready and self._desk.plan.standby == "cold":
            self._reserve.drop("the first one answered")
        self.beside = False
