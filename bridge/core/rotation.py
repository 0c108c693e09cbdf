"""Swaps that are not due to a fault: before a session ends, before a rate limit bites, back to a preferred provider.

They wait for a moment at which nothing is being generated, so that nothing of them is heard.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.chooser import Chooser
from bridge.core.desk import MS, Desk
from bridge.core.links import Link, Links
from bridge.core.reserve import Reserve

RESERVE_MS = 5000  # before the announced end of a session the swap is made, quiet or not
FORECAST_SHARE = 0.02
FAIL_BACK_MS = 30_000


class Rotation:
    """`active` gives the active link, `swap` leaves it for the standby."""

    def __init__(
        self,
        desk: Desk,
        links: Links,
        chooser: Chooser,
        reserve: Reserve,
        active: Callable[[], Link | None],
        swap: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._links = links
        self._chooser = chooser
        self._reserve = reserve
        self._active = active
        self._swap = swap
        self._leaving: Link | None = None

    @property
    def _due(self) -> bool:
        """The active link is to be left. When it was lost meanwhile its successor is not."""
        return self._leaving is not None and self._leaving is self._active()

    def want(self, why: str, force_after_ms: int | None = None, avoid: frozenset[str] = frozenset()) -> None:
        """Swap at the next quiet moment, at the latest after `force_after_ms` when given, to none of `avoid`."""
        timers = self._desk.timers
        if not self._due:
            self._leaving = self._active()
            timers.clear("rotate")
            self._desk.note("noticed", what=f"planned rotation: {why}")
        elif force_after_ms is None:
            return
        if force_after_ms is not None:
            at = self._desk.now + force_after_ms * MS
            timers.set("rotate", min(at, timers.at("rotate") or at))
        self._reserve.want(set(avoid))
        self.if_quiet()

    def if_quiet(self) -> None:
        """Swap when it is due and nothing is being generated: between exchanges, or while the caller speaks."""
        standby = self._reserve.link
        if not self._due or standby is None or not standby.ready:
            return
        exchange = self._desk.conversation.open
        if exchange is None or not exchange.turns_ended:
            self._now()

    def force(self) -> None:
        """The timer "rotate": the old session is about to end, quiet or not."""
        if self._due:
            self._now()

    def _now(self) -> None:
        self._leaving = None
        self._desk.timers.clear("rotate")
        self._swap()

    def standby_lost(self) -> None:
        """A swap that nothing forces is given up with the standby it was meant for."""
        if self._desk.timers.at("rotate") is None:
            self._leaving = None

    # ---------------------------------------------------------------------------------------------------- occasions

    def expiring(self, link: Link, left_ms: int) -> None:
        """The provider announced the end of the session."""
        if link is self._active():
            self.want("the provider announced the end of the session", max(0, left_ms - RESERVE_MS))

    def limits(self, link: Link, remaining: float, reset_ms: int) -> None:
        """A rate limit is about to be exhausted: leave before it is. Another session of the account is no help."""
        if link is self._active() and remaining <= FORECAST_SHARE:
            self.want(f"rate limit nearly exhausted, resets in {reset_ms} ms", avoid=frozenset({link.provider}))

    def watch_age(self) -> None:
        """Arm the timer "age" for the active link's session limit."""
        link = self._active()
        if link is not None and link.expires_ns is not None:
            self._desk.timers.set("age", link.expires_ns - self._desk.deadlines.rotate_before * MS)

    def aged(self) -> None:
        """The timer "age"."""
        link = self._active()
        if link is None or link.expires_ns is None:
            return
        left = (link.expires_ns - self._desk.now) // MS
        if left <= self._desk.deadlines.rotate_before:
            self.want("the session limit is near", max(0, left - RESERVE_MS))
        else:
            self.watch_age()

    def watch_fail_back(self) -> None:
        """Arm the timer "fail back" where the route asks for it and somebody better is left."""
        if self._desk.plan.fail_back and self._preferred() and self._desk.timers.at("fail back") is None:
            self._desk.after("fail back", FAIL_BACK_MS)

    def fail_back(self) -> None:
        """The timer "fail back": is somebody better up again?"""
        preferred = self._preferred()
        if preferred and not self._due:
            self._chooser.ask("back", {candidate.name for candidate in self._desk.plan.candidates} - preferred)

    def back_chosen(self, provider: str | None) -> None:
        """The health board's answer."""
        if provider is None or self._active() is None:
            self.watch_fail_back()
            return
        why = "a preferred provider is up again"
        if self._reserve.link is not None and self._reserve.link.provider != provider:
            self._reserve.drop(why)
        if self._reserve.link is None:
            self._reserve.link = self._links.open(provider, "fail back")
        self.want(why)

    def _preferred(self) -> set[str]:
        """Providers the route would rather use than the active one."""
        link = self._active()
        names = [candidate.name for candidate in self._desk.plan.candidates]
        better = names[: names.index(link.provider)] if link is not None else []
        return set(better) - self._chooser.excluded
