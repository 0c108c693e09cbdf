"""`pytest tests/replay --bless` rewrites what recorded calls are expected to do."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="record anew what the calls of fixtures/calls do")
