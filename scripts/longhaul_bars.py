# SPDX-License-Identifier: GPL-3.0-or-later
"""Bars: in the terminal, while something goes on and at its end; and as a picture, drawn by gnuplot."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Sequence

from longhaul_lab import LabError, tail

BOLD, RED, YELLOW, GREEN = "1", "31", "33", "32"
MARGIN = 3                  # columns left of all that is printed
FULL, EIGHTHS = "█", " ▏▎▍▌▋▊▉"
MIN_BAR = 10                # columns, on the narrowest terminal
REPORT_S = 10.0             # between two reports of progress where they cannot replace each other
# Okabe and Ito: told apart by all eyes.
RGB = {RED: "#d55e00", YELLOW: "#e69f00", GREEN: "#009e73"}


class Bar(NamedTuple):
    """One bar."""

    title: str
    value: float
    text: str               # beside it
    colour: str


def coloured() -> bool:
    """Whether the terminal is one, and nobody asked for no colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """Text in a colour, or bold, where that may be."""
    return f"\033[{colour}m{text}\033[0m" if coloured() else text


def block(share: float, width: int) -> str:
    """A bar of a share of width columns, to an eighth of a column; something is always seen."""
    eighths = max(1, round(min(max(share, 0), 1) * width * 8))
    return FULL * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _room(bars: Sequence[Bar]) -> int:
    """Columns that titles and texts leave for the longest bar."""
    taken = sum(max(len(getattr(bar, field)) for bar in bars) for field in ("title", "text"))
    return shutil.get_terminal_size((100, 24)).columns - MARGIN - taken - 4


def draw(bars: Sequence[Bar], most: float) -> str:
    """All bars as lines, as wide as the terminal; most is what fills it."""
    titles, width = max(len(bar.title) for bar in bars), max(MIN_BAR, _room(bars))
    return "\n".join(f"{' ' * MARGIN}{bar.title:{titles}}  {paint(block(bar.value / most, width), bar.colour)} {bar.text}"
                     for bar in bars)


class Progress:
    """Bars that move while one waits; without a terminal, a line now and then.

    A context manager: at its end the bars are gone.
    """

    def __init__(self) -> None:
        self._live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._lines, self._reported, self._begun = 0, False, time.monotonic()
        self._next = self._begun + REPORT_S

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        if self._reported:
            print()
        sys.stdout.flush()

    def _clear(self) -> None:
        if self._lines:
            sys.stdout.write(f"\033[{self._lines}A\033[J")
            self._lines = 0

    def show(self, bars: Sequence[Bar]) -> None:
        """Show how far each is; a bar is full at 1."""
        now = time.monotonic()
        if self._live and _room(bars) >= MIN_BAR:      # lines that wrap could not be taken back
            self._clear()
            text = draw(bars, 1.0)
            print(text, flush=True)
            self._lines = len(text.splitlines())
        elif now >= self._next:
            self._next, self._reported = self._next + REPORT_S, True
            parts = " · ".join(f"{bar.title} {bar.value:.0%}" for bar in bars)
            print(f"{' ' * MARGIN}after {now - self._begun:.0f} s: {parts}", flush=True)


# ------------------------------------------------------------------ the picture

_GNUPLOT = """\
set terminal svg size 960,{height} font "sans-serif,14" background "white" noenhanced
set output "{output}"
set title "{title}" font ",17"
set xlabel "{unit}"
set xrange [0:{most}]
set yrange [{last}:-0.6]
set ytics ({ticks}) scale 0
set border 1
set xtics nomirror
set grid xtics lc rgb "#dddddd"
set lmargin at screen 0.29
set rmargin at screen 0.97
set bmargin at screen {bottom}
set label 99 "{footer}" at screen 0.5, screen {foot} center font ",11" textcolor rgb "#666666"
set style fill solid noborder
unset key
$bars << EOD
{data}
EOD
plot $bars using ($2 / 2):1:($2 / 2):(0.34):3 with boxxyerror linecolor rgb variable, \\
     $bars using ($4 == 1 ? $2 : NaN):1:5 with labels left offset 1,0, \\
     $bars using ($4 == 1 ? NaN : $2):1:5 with labels right offset -1,0 textcolor rgb "white"
"""


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def picture(path: Path, bars: Sequence[Bar], most: float, title: str, unit: str, footer: str) -> None:
    """Draw bars into an SVG file; LabError says what gnuplot had against it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height = 150 + 44 * len(bars)
    ticks = ", ".join(f'"{_quoted(bar.title)}" {at}' for at, bar in enumerate(bars))
    # A text stands right of its bar, or in it if the bar is long.
    data = "\n".join(f'{at} {bar.value:.6g} {int(RGB[bar.colour][1:], 16)} {int(bar.value < most / 2)} "{_quoted(bar.text)}"'
                     for at, bar in enumerate(bars))
    script = _GNUPLOT.format(height=height, output=_quoted(str(path)), title=_quoted(title), unit=_quoted(unit),
                             most=most, last=len(bars) - 0.4, ticks=ticks, data=data, footer=_quoted(footer),
                             bottom=f"{95 / height:.3f}", foot=f"{14 / height:.3f}")
    try:
        out = subprocess.run(["gnuplot", "-d", "-"], input=script, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LabError(f"cannot run gnuplot: {error}") from None
    if out.returncode != 0 or not path.exists():
        raise LabError(f"gnuplot did not draw {path}:\n{tail(out.stderr)}")
