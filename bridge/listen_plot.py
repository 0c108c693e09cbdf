"""A picture of what the turn detector heard: waveforms, levels with the gates over them, decisions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from audio.frame import Pcm
from audio.hearing import ECHO_DB, GATE_DB
from audio.turns import TurnEvent
from bridge.listen_decisions import BLOCK, RATE, Heard

COLOURS = {
    "speech_start": "tab:green",
    "turn_end": "tab:red",
    "barge_in": "tab:orange",
    "cut": "tab:purple",
    "cancel": "tab:gray",
}
INCHES_PER_SECOND = 0.35
WIDEST = 200.0  # inches
CLOSE_S = 0.45  # names of decisions closer than this would be written over each other
NAME_DB = 13.0  # the length of the longest name


def draw(path: Path, near: Pcm, far: Pcm, heard: Sequence[Heard], events: Sequence[TurnEvent]) -> None:
    """Writes the picture (PNG, or what the suffix of `path` says)."""
    seconds = len(near) / RATE
    figure = Figure(figsize=(min(WIDEST, max(10.0, seconds * INCHES_PER_SECOND)), 7), layout="constrained")
    waves, levels = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    at = np.arange(len(near)) / RATE
    waves.plot(at, near / 32768, linewidth=0.3, color="tab:blue", label="caller")
    waves.plot(np.arange(len(far)) / RATE, far / 32768 - 1, linewidth=0.3, color="tab:brown", label="agent")
    waves.set_yticks([])
    _levels(levels, heard)
    for axes in (waves, levels):
        for event in events:
            axes.axvline(event.decided / RATE, color=COLOURS[event.kind], linewidth=1)
        for handle in axes.legend(loc="upper right", fontsize="small").get_lines():
            handle.set_linewidth(1.5)
    _names(levels, events)
    levels.set_xlabel("seconds of caller audio")
    levels.set_xlim(0, seconds)
    figure.savefig(path, dpi=100)


def _names(axes: Any, events: Sequence[TurnEvent]) -> None:
    """Writes what each line is; one that follows closely on another is written below its name."""
    before, row = -CLOSE_S, 0
    for event in events:
        t = event.decided / RATE
        row = row + 1 if t - before < CLOSE_S else 0
        axes.text(t, -NAME_DB * (row % 4), event.kind, rotation=90, va="top", ha="right", fontsize="x-small")
        before = t


def _levels(axes: Any, heard: Sequence[Heard]) -> None:
    at = (np.arange(len(heard)) + 1) * BLOCK / RATE
    speaking = np.array([block.speaking for block in heard])
    axes.fill_between(at, -96, 0, where=speaking, color="tab:green", alpha=0.1, label="turn")
    axes.plot(at, [block.level for block in heard], linewidth=0.7, color="tab:blue", label="level")
    axes.plot(at, [block.floor + GATE_DB for block in heard], linewidth=0.9, color="black", label="floor gate")
    axes.plot(at, [block.ceiling for block in heard], linewidth=0.7, color="tab:gray", linestyle="--", label="ceiling")
    gate = [np.nan if block.echo is None else block.echo + ECHO_DB for block in heard]
    axes.plot(at, gate, linewidth=0.9, color="tab:brown", label="echo gate")
    axes.set_ylim(-80, 0)
    axes.set_ylabel("dB")
