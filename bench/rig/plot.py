# SPDX-License-Identifier: GPL-3.0-or-later
"""A plot as an SVG file: x by powers of ten, y from 0, a line per series, a bar from its lowest to its highest value
at each point. Text and lines only, so that a changed figure is a changed line in the file."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 56, 54
COLOURS = ("#1b6ca8", "#c2571a", "#2e7d32", "#7b1fa2")


def step_of(highest):
    """So that there are four to eight lines across."""
    power = 10 ** math.floor(math.log10(highest / 4))
    return next(factor * power for factor in (1, 2, 5, 10) if highest / (factor * power) <= 8)


def number(value):
    return f"{value:g}" if value < 10_000 else f"{value:,.0f}"


def svg(title, x_title, y_title, series):
    """`series`: name -> points (x, y, low, high), x above 0."""
    points = [point for several in series.values() for point in several]
    first = math.floor(math.log10(min(x for x, *_ in points)))
    last = max(first + 1, math.ceil(math.log10(max(x for x, *_ in points)) - 1e-9))
    highest = max(high for *_, high in points) * 1.05
    step = step_of(highest)
    top = step * math.ceil(highest / step)

    def across(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(x) - first) / (last - first)

    def up(y):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / top

    def text(x, y, words, anchor="middle", more=""):
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="sans-serif" font-size="12" fill="#222">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(WIDTH / 2, 20, title, more=' font-size="15"')]
    for line in range(round(top / step) + 1):
        y = up(line * step)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(text(LEFT - 8, y + 4, number(round(line * step, 6)), "end"))
    for power in range(first, last + 1):
        x = across(10 ** power)
        out.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        out.append(text(x, HEIGHT - BOTTOM + 18, f"{10 ** power:,}"))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_title))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(text(18, middle, y_title, more=f' transform="rotate(-90 18 {middle:.1f})"'))
    place = LEFT
    for colour, (name, several) in zip(COLOURS, series.items()):
        several = sorted(several)
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y, *_ in several)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, low, high in several:
            out.append(f'<path d="M{across(x):.1f} {up(low):.1f}V{up(high):.1f}" stroke="{colour}"/>')
            out.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>')
        out.append(f'<path d="M{place} 38h18" stroke="{colour}" stroke-width="2"/>')
        out.append(text(place + 24, 42, name, "start"))
        place += 40 + 7 * len(name)
    return "\n".join(out) + "\n</svg>\n"
