"""Charts of rows as SVG: complete in themselves, readable on light and on dark ground."""

import math
from html import escape

from . import rows
from .summary import is_floor, is_own
from .tables import BY_UNIT, number, times

WIDTH = 960
MARGIN = 20
GAP = 32
COLUMNS = 2
BAR = 20
HEAD = 44
FOOT = 22
NAME = 112
TELL = 96

# A bar longer than so many times that of the best product would flatten all others: it is cut.
LONGEST = 3.0

# Plain rules and no variables, so that simple viewers of SVG understand them too.
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .ground, .cut { fill: #ffffff; }
  .title, .bold { font-weight: 600; }
  .title { font-size: 13px; }
  .soft { fill: #59636e; }
  .right { text-anchor: end; }
  .own { fill: #0a7d6c; }
  .product { fill: #a9b4bf; }
  .floor { fill: #ffffff; stroke: #59636e; stroke-dasharray: 3 2; }
  .whisker { stroke: #1f2328; stroke-width: 1.2; fill: none; }
  .grid { stroke: #d1d9e0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .ground, .cut { fill: #0d1117; }
    .soft { fill: #9198a1; }
    .own { fill: #35c2a7; }
    .product { fill: #57626e; }
    .floor { fill: #0d1117; stroke: #9198a1; }
    .whisker { stroke: #f0f6fc; }
    .grid { stroke: #2a313a; }
  }
"""


def chart(title, pairs):
    """One panel for each row and its summary."""
    panels = [Panel(row, summary) for row, summary in pairs]
    width = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) / COLUMNS
    drawn, top = [], MARGIN
    for at in range(0, len(panels), COLUMNS):
        line = panels[at : at + COLUMNS]
        for column, panel in enumerate(line):
            drawn.append(panel.draw(MARGIN + column * (width + GAP), top, width))
        top += max(panel.height() for panel in line) + GAP
    return page(title, "\n".join(drawn), top - GAP + MARGIN)


def page(title, body, height):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img" aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<rect class="ground" width="100%" height="100%"/>\n{body}\n</svg>\n'
    )


class Panel:
    """One row: a line for each server, the cheapest on top."""

    def __init__(self, row, summary):
        self.row, self.summary = row, summary
        self.names = summary.names()
        self.scale = LogScale if row.unit == rows.IDLE else LinearScale

    def height(self):
        return HEAD + BAR * len(self.names) + FOOT

    def draw(self, left, top, width):
        scale = self.scale(self.summary, left + NAME, width - NAME - TELL)
        lines = [
            text(left, top + 14, self.row.title, "title"),
            text(left, top + 32, f"{BY_UNIT[self.row.unit][0]}, less is better", "soft"),
        ]
        bottom = top + HEAD + BAR * len(self.names)
        lines += scale.grid(top + HEAD - 2, bottom)
        for at, name in enumerate(self.names):
            lines += self.line(scale, left, width, top + HEAD + BAR * at, name)
        return "\n".join(lines)

    def line(self, scale, left, width, top, name):
        figure = self.summary.peers[name]["cost"]
        kind = "own" if is_own(name) else "floor" if is_floor(name) else "product"
        middle = top + BAR / 2
        bold = "bold" if kind == "own" else ""
        yield text(left, middle + 4, name, bold)
        yield from scale.mark(figure, middle, kind)
        yield from scale.whisker(figure, middle)
        ratio = self.summary.ratio(name)
        told = number(figure.median) + (f"  ({times(ratio)})" if ratio else "")
        yield text(left + width, middle + 4, told, f"right {bold}")


class LinearScale:
    """Bars from zero, cut where they would leave no room for the others."""

    def __init__(self, summary, left, width):
        self.left, self.width = left, width
        medians = [summary.peers[name]["cost"].median for name in summary.names()]
        best = summary.best_product()
        known = summary.median(best, "cost") if best else min(medians)
        self.most = min(max(medians) * 1.05, known * LONGEST)

    def x(self, value):
        return self.left + self.width * min(max(value, 0) / self.most, 1.0)

    def grid(self, top, bottom):
        for value in ticks(self.most):
            yield line(self.x(value), top, self.x(value), bottom, "grid")
            yield text(self.x(value), bottom + 15, number(value), "soft", anchor="middle")

    def mark(self, figure, middle, kind):
        width = self.x(figure.median) - self.left
        yield (
            f'<rect class="{kind}" x="{self.left:.1f}" y="{middle - 6.5:.1f}" '
            f'width="{width:.1f}" height="13" rx="2"/>'
        )
        if figure.median > self.most:
            right, top = self.left + width - 14, middle - 8
            yield f'<path class="cut" d="M{right:.1f} {top + 16:.1f} l5 -16 h4 l-5 16 z"/>'

    def whisker(self, figure, middle):
        least, most = self.x(figure.least), self.x(figure.most)
        if most - least > 1.5 and figure.median <= self.most:
            yield (
                f'<path class="whisker" d="M{least:.1f} {middle:.1f} H{most:.1f} '
                f'M{least:.1f} {middle - 3:.1f} v6 M{most:.1f} {middle - 3:.1f} v6"/>'
            )


class LogScale:
    """Points on powers of ten: for memory, where one is a hundred times another."""

    def __init__(self, summary, left, width):
        self.left, self.width = left, width
        values = [max(summary.peers[name]["cost"].median, 1) for name in summary.names()]
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)

    def x(self, value):
        power = math.log10(max(value, 10**self.low))
        return self.left + self.width * (power - self.low) / (self.high - self.low)

    def grid(self, top, bottom):
        for power in range(self.low, self.high + 1):
            x = self.x(10**power)
            yield line(x, top, x, bottom, "grid")
            yield text(x, bottom + 15, number(10**power), "soft", anchor="middle")

    def mark(self, figure, middle, kind):
        yield f'<circle class="{kind}" cx="{self.x(figure.median):.1f}" cy="{middle:.1f}" r="6"/>'

    def whisker(self, figure, middle):
        return ()


def ticks(most):
    """Two to six round values up to the longest bar."""
    rough = most / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough)
    return [step * at for at in range(int(most / step) + 1)]


def text(x, y, words, style="", anchor=""):
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}"{anchored}>{escape(words)}</text>'


def line(x, y, x2, y2, style):
    return f'<line class="{style}" x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
