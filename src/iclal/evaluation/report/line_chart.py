"""Small line charts as inline SVG: no plotting library, coloured by the page's style sheet in light and dark.

A chart is drawn in its own units (`WIDTH` x `HEIGHT`) and scaled by the page. Each x position has an upright strip
over it that carries all values there as `data-tip`, which the page's script shows beside the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

WIDTH, HEIGHT = 340, 224
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 10, 36

# A curve of thousands of steps is drawn as this many means: more points than that are not seen.
MAX_POINTS = 160


@dataclass(frozen=True)
class Point:
    """A measured value at x, with its interval where there is one."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """A named line; `style` is the CSS class that colours it (`s-audio`, `s-1` ...)."""

    name: str
    style: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Axis:
    """The vertical axis: range, tick values, how a value is written, linear or logarithmic."""

    low: float
    high: float
    ticks: Sequence[float]
    write: Callable[[float], str] = field(default=lambda value: f"{value:g}")
    is_log: bool = False

    def share(self, value: float) -> float:
        """Where a value stands between the ends, 0 at the bottom; cut to 0..1."""
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, self.low))
        return min(1.0, max(0.0, (at - low) / (high - low)))


@dataclass(frozen=True)
class Chart:
    """A drawn chart with its title and, where it is not shared, its legend as (name, style)."""

    title: str
    svg: Markup
    legend: Sequence[tuple[str, str]] = ()


def percent_axis(highest: float = 1.0) -> Axis:
    """0 to 100 %, or further where a value needs it (a word error rate may be above 1)."""
    top = max(1.0, math.ceil(highest * 4) / 4)
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if top == 1.0 else [top * part / 4 for part in range(5)]
    return Axis(0.0, top, ticks, lambda value: f"{100 * value:.0f}\u00a0%")


def loss_axis(values: Sequence[float]) -> Axis:
    """From 0, or logarithmic where the values span more than a factor of 30."""
    above_zero = [value for value in values if value > 0]
    highest, lowest = max(above_zero, default=1.0), min(above_zero, default=1.0)
    if highest / lowest > 30:
        bottom, top = _round_step(lowest / 2.5), _round_step(highest)
        powers = range(math.ceil(math.log10(bottom) - 1e-9), math.floor(math.log10(top) + 1e-9) + 1)
        return Axis(bottom, top, [10.0**power for power in powers], is_log=True)
    step = _round_step(highest / 4)
    top = math.ceil(highest / step - 1e-9) * step
    return Axis(0.0, top, [step * k for k in range(round(top / step) + 1)])


def shots_chart(series: Sequence[Series], shots: Sequence[int], title: str, write: Callable[[float], str]) -> Markup:
    """Accuracy over the number of demonstrations, with interval bands; the shots stand at equal distances."""
    places = {number: index for index, number in enumerate(shots)}
    moved = [
        Series(s.name, s.style, [Point(places[int(p.x)], p.value, p.low, p.high) for p in s.points]) for s in series
    ]
    names = [f"{number} demonstration{'' if number == 1 else 's'}" for number in shots]
    ticks = [(float(index), str(number), names[index]) for index, number in enumerate(shots)]
    return _chart(moved, ticks, percent_axis(), (-0.25, len(shots) - 0.75), title, "demonstrations", write)


def curves_chart(series: Sequence[Series], axis: Axis, title: str, write: Callable[[float], str]) -> Markup:
    """Curves over training steps, from the first step logged; long ones as means of neighbouring points."""
    thinned = [Series(s.name, s.style, thin(s.points)) for s in series]
    steps = sorted({point.x for line in thinned for point in line.points})
    last = max(1.0, *(point.x for line in series for point in line.points))
    step = _round_step(last / 4)
    marked = [step * k for k in range(int(last / step + 1e-9) + 1)]
    labelled = {x: f"{x / 1000:g}k" if last >= 10_000 else f"{x:g}" for x in marked}
    ticks = [(x, labelled.get(x, ""), f"step {x:,.0f}") for x in sorted({*steps, *marked})]
    return _chart(thinned, ticks, axis, (0.0, last), title, "step", write)


def thin(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most about `limit` points: the first as it is, then means of equally many neighbours.

    >>> [point.value for point in thin([Point(x, x) for x in range(5)], limit=3)]
    [0, 1.5, 3.5]
    """
    if len(points) <= limit:
        return list(points)
    size = math.ceil((len(points) - 1) / (limit - 1))
    means = [points[0]]
    for start in range(1, len(points), size):
        part = points[start : start + size]
        means.append(Point(sum(p.x for p in part) / len(part), sum(p.value for p in part) / len(part)))
    return means


def _chart(
    series: Sequence[Series],
    ticks: Sequence[tuple[float, str, str]],
    axis: Axis,
    x_range: tuple[float, float],
    title: str,
    x_name: str,
    write: Callable[[float], str],
) -> Markup:
    """The SVG. `ticks` are (x, label or "", name in the tip): one strip each, one label where there is one."""
    x_low, x_high = x_range

    def place_x(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def place_y(value: float) -> float:
        return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart" role="img" aria-label="{escape(title)}">']
    for value in axis.ticks:
        y = place_y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{axis.write(value)}</text>'
        )
    for x, label, _ in ticks:
        if label:
            # the last label ends at the edge, so that long step numbers are not cut
            anchor = "end" if place_x(x) > WIDTH - RIGHT - 12 else "middle"
            at = WIDTH - 2 if anchor == "end" else place_x(x)
            parts.append(
                f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 20}" text-anchor="{anchor}">{escape(label)}</text>'
            )
    parts.append(f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">')
    parts.append(f"{escape(x_name)}</text>")
    for line in reversed(series):  # the first is the one that matters: it lies on top
        parts.append(_line(line, place_x, place_y))
    parts += _strips(series, ticks, place_x, write)
    return Markup("".join(parts) + "</svg>")


def _line(line: Series, place_x: Callable[[float], float], place_y: Callable[[float], float]) -> str:
    """A series: its interval band, its line, a dot at each point where there are few."""
    parts = [f'<g class="series {line.style}">']
    bounded = [(p.x, p.low, p.high) for p in line.points if p.low is not None and p.high is not None]
    if len(bounded) > 1:
        upper = [f"{place_x(x):.1f},{place_y(high):.1f}" for x, _, high in bounded]
        lower = [f"{place_x(x):.1f},{place_y(low):.1f}" for x, low, _ in reversed(bounded)]
        parts.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
    elif bounded:  # a single point has no band: a whisker instead
        x, low, high = bounded[0]
        parts.append(f'<path class="whisker" d="M{place_x(x):.1f} {place_y(low):.1f}V{place_y(high):.1f}"/>')
    places = [f"{place_x(p.x):.1f},{place_y(p.value):.1f}" for p in line.points]
    parts.append(f'<polyline class="line" points="{" ".join(places)}"/>')
    if len(places) <= 12:
        for place in places:
            x, y = place.split(",")
            parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="2.6"/>')
    return "".join(parts) + "</g>"


def _strips(
    series: Sequence[Series],
    ticks: Sequence[tuple[float, str, str]],
    place_x: Callable[[float], float],
    write: Callable[[float], str],
) -> list[str]:
    """Upright strips, one per x position that has values, from half-way to half-way between neighbours."""
    values: dict[float, list[str]] = {}
    for line in series:
        for point in line.points:
            bounds = "" if point.low is None or point.high is None else f" ({write(point.low)} to {write(point.high)})"
            values.setdefault(point.x, []).append(f"{line.name}: {write(point.value)}{bounds}")
    names = {x: name for x, _, name in ticks}
    places = sorted(values)
    strips = []
    for index, x in enumerate(places):
        left = LEFT if index == 0 else (place_x(places[index - 1]) + place_x(x)) / 2
        right = WIDTH - RIGHT if index == len(places) - 1 else (place_x(places[index + 1]) + place_x(x)) / 2
        tip = "\n".join([names.get(x, f"{x:g}"), *values[x]])
        strips.append(
            f'<g class="strip" data-tip="{escape(tip)}"><rect x="{left:.1f}" y="{TOP}" '
            f'width="{max(0.5, right - left):.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
            f'<line x1="{place_x(x):.1f}" x2="{place_x(x):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/></g>'
        )
    return strips


def _round_step(least: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten.

    >>> _round_step(0.7), _round_step(1.6), _round_step(230)
    (1.0, 2.0, 250.0)
    """
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
