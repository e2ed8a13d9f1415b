"""The tables and the plot of docs/scaling.md, from what `bench_scaling.py` measured and from the shapes alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES: Final = ("ring", "hubs", "full_mesh")
FRAMES_PER_LINK_HOUR: Final = 480
"""Both ends: a ping and a pong each, every thirty seconds."""
QUIET_ANNOUNCES_PER_HOUR: Final = 6


@frozen
class Measured:
    """What one run says of one device, on average."""

    shape: str
    nodes: int
    links: float
    frames_per_hour: float
    """That it sends, in peace."""
    bytes_per_hour: float
    announces_heard_per_hour: float
    cpu_ms_per_hour: float
    """Of engine, codec and simulator, in peace."""
    meeting_cpu_ms: float
    meeting_frames: float
    memory_kb: float


@frozen
class Paper:
    """What a network costs a device by its rules alone."""

    shape: str
    nodes: int
    links: float
    most_links: int


def table(measured: list[Measured]) -> str:
    lines = [
        "| shape | devices | links | frames an hour | KB an hour | announces heard an hour | CPU ms an hour"
        " | CPU ms to meet | frames to meet | memory KB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.shape} | {each.nodes} | {each.links:g} | {each.frames_per_hour:.0f}"
        f" | {each.bytes_per_hour / 1000:.0f} | {each.announces_heard_per_hour:.0f} | {each.cpu_ms_per_hour:.0f}"
        f" | {each.meeting_cpu_ms:.0f} | {each.meeting_frames:.0f} | {each.memory_kb:.0f} |"
        for each in sorted(measured, key=lambda each: (SHAPES.index(each.shape), each.nodes))
    ]
    return "\n".join(lines)


def paper_table(paper: list[Paper]) -> str:
    lines = [
        "| shape | devices | links of a device | of the busiest | frames an hour, of a device | of the busiest |"
        " announces heard an hour |",
        "|---|---|---|---|---|---|---|",
    ]
    half = FRAMES_PER_LINK_HOUR / 2
    lines += [
        f"| {each.shape} | {each.nodes:,} | {each.links:g} | {each.most_links:,} | {each.links * half:,.0f}"
        f" | {each.most_links * half:,.0f} | {QUIET_ANNOUNCES_PER_HOUR * (each.nodes - 1):,} |"
        for each in paper
    ]
    return "\n".join(lines)


PANELS: Final[tuple[tuple[str, Callable[[Measured], float], Callable[[Paper], float] | None], ...]] = (
    ("links of a device", lambda each: each.links, lambda paper: paper.links),
    (
        "frames an hour, of a device",
        lambda each: each.frames_per_hour,
        lambda paper: paper.links * FRAMES_PER_LINK_HOUR / 2,
    ),
    ("CPU to meet, ms of a device", lambda each: each.meeting_cpu_ms, None),
    ("memory of a device, KB", lambda each: each.memory_kb, None),
)
COLOURS: Final = {"ring": "#0072b2", "hubs": "#e69f00", "full_mesh": "#cc3311"}
WIDTH: Final = 340
HEIGHT: Final = 250
LEFT: Final = 60
TOP: Final = 40


def plot(measured: list[Measured], paper: list[Paper]) -> str:
    """An SVG of four panels, both axes logarithmic: dots are measured, dashed lines on paper."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * (WIDTH + LEFT) + 20} {2 * (HEIGHT + 80) + 30}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="white"/>{_legend()}',
    ]
    for number, (title, of_measured, of_paper) in enumerate(PANELS):
        x, y = LEFT + number % 2 * (WIDTH + LEFT), TOP + 30 + number // 2 * (HEIGHT + 80)
        dots = {
            shape: [(each.nodes, of_measured(each)) for each in measured if each.shape == shape] for shape in SHAPES
        }
        lines = {
            shape: [(each.nodes, of_paper(each)) for each in paper if each.shape == shape] if of_paper else dots[shape]
            for shape in SHAPES
        }
        parts.append(_panel(x, y, title, dots, lines, is_dashed=of_paper is not None))
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> str:
    shapes = "".join(
        f'<circle cx="{LEFT + number * 110}" cy="20" r="4" fill="{COLOURS[shape]}"/>'
        f'<text x="{LEFT + 10 + number * 110}" y="24">{shape.replace("_", " ")}</text>'
        for number, shape in enumerate(SHAPES)
    )
    words = "dots are measured, dashes are on paper; both axes are logarithmic"
    return f'{shapes}<text x="{LEFT + 340}" y="24">{words}</text>'


def _panel(
    x: int,
    y: int,
    title: str,
    dots: dict[str, list[tuple[int, float]]],
    lines: dict[str, list[tuple[int, float]]],
    *,
    is_dashed: bool,
) -> str:
    values = [value for each in (*dots.values(), *lines.values()) for _, value in each]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def across(nodes: float) -> float:
        return round(x + (math.log10(nodes) - 1) / 3 * (WIDTH - 20), 1)

    def up(value: float) -> float:
        return round(y + HEIGHT - (math.log10(value) - low) / max(1, high - low) * HEIGHT, 1)

    parts = [f'<text x="{x}" y="{y - 10}" font-weight="bold">{title}</text>']
    parts += [
        f'<path d="M{across(nodes)} {y}V{y + HEIGHT}" stroke="#ddd"/>'
        f'<text x="{across(nodes)}" y="{y + HEIGHT + 16}" text-anchor="middle">{nodes:,}</text>'
        for nodes in (10, 100, 1000, 10_000)
    ]
    parts += [
        f'<path d="M{x} {up(10**power)}H{x + WIDTH - 20}" stroke="#ddd"/>'
        f'<text x="{x - 6}" y="{up(10**power) + 4}" text-anchor="end">{10**power:,g}</text>'
        for power in range(low, high + 1)
    ]
    for shape, colour in COLOURS.items():
        way = " ".join(f"{across(nodes)},{up(value)}" for nodes, value in sorted(lines[shape]))
        dash = ' stroke-dasharray="5 4"' if is_dashed else ""
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>')
        parts += [
            f'<circle cx="{across(nodes)}" cy="{up(value)}" r="4" fill="{colour}"/>' for nodes, value in dots[shape]
        ]
    return "\n".join(parts)


def page(text: str, measured: list[Measured], paper: list[Paper]) -> str:
    """The page with its tables made anew."""
    for name, made in (("paper", paper_table(paper)), ("measured", table(measured))):
        begin, end = f"<!-- {name}: begin, written by benchmarks/bench_scaling.py -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, _, behind = rest.partition(end)
        text = f"{before}{begin}\n\n{made}\n\n{end}{behind}"
    return text
