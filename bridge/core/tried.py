"""Who has failed for the exchange that is owed: each provider is tried once, and once more for the network's sake."""

from __future__ import annotations

from providers.base import FaultClass


class Tried(dict[str, FaultClass]):
    """By provider, how it failed."""

    def __init__(self) -> None:
        self._again: set[str] = set()

    def once_more(self) -> bool:
        """Whether one of them may be dialled again; it is taken out."""
        for provider, kind in self.items():
            if kind is FaultClass.NETWORK and provider not in self._again:
                self._again.add(provider)
                del self[provider]
                return True
        return False

    def clear(self) -> None:
        """Somebody answered, or enough time has passed: all may be dialled."""
        super().clear()
        self._again.clear()
