"""Named deadlines of one call, in ns of loop time."""

from __future__ import annotations


class Timers:
    """A handful of names with at most one deadline each. A deadline that moved later is found out when it is due."""

    __slots__ = ("_at", "next")

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self.next: int | None = None

    def set(self, name: str, at: int) -> None:
        self._at[name] = at
        if self.next is None or at < self.next:
            self.next = at

    def clear(self, name: str) -> None:
        self._at.pop(name, None)

    def at(self, name: str) -> int | None:
        return self._at.get(name)

    def due(self, now: int) -> list[str]:
        """Names whose time has come, earliest first; they are cleared."""
        names = sorted((name for name, at in self._at.items() if at <= now), key=lambda name: self._at[name])
        for name in names:
            del self._at[name]
        self.next = min(self._at.values(), default=None)
        return names

    def clear_all(self) -> None:
        self._at.clear()
        self.next = None
