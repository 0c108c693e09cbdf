"""Cells that do not hold yet, with the reason. A cell in here that holds fails the test."""

from __future__ import annotations

KNOWN: dict[str, str] = {}
