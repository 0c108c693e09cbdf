"""The voice bridge: core (decisions), shell (waiting), edges (callers), web (HTTP), fakes (provider emulators)."""
