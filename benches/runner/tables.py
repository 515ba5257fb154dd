"""Rows as tables: of plain text for a terminal, of Markdown for the pages."""

from . import rows
from .summary import RESERVING, is_floor, is_own

# The figures of a row: name, heading, and how it is written.
BY_UNIT = {
    rows.MESSAGE: ("CPU µs/message", "messages/s"),
    rows.CONNECTION: ("CPU µs/connection", "connections/s"),
    rows.DATAGRAM: ("CPU µs/exchange", "exchanges/s"),
    rows.GIBIBYTE: ("CPU s/GiB", "GiB/s"),
    rows.IDLE: ("user B/connection", None),
    rows.DELIVERY: ("CPU µs/delivery", "deliveries/s"),
}


def columns(row):
    cost, rate = BY_UNIT[row.unit]
    yield "cost", cost
    if rate:
        yield "rate", rate
    if row.unit == rows.IDLE:
        yield "resident", "RSS at start"
        yield "resident_full", "RSS with all"
        yield "p50", "p50 µs beside them"
        yield "p50_alone", "p50 µs alone"
        return
    if row.unit == rows.GIBIBYTE:
        yield "both", "with the load"
        yield "busy", "busy"
        yield "wrong", "errors"
    else:
        yield "p50", "p50 µs"
        yield "p99", "p99 µs"
    if row.unit == rows.DATAGRAM:
        yield "lost", "lost"


def cells(row, summary):
    """The table, headings first; the best of the deciding figure on top."""
    shown = list(columns(row))
    first = ["setting", "more"] if row.of_settings() else ["server", "ratio"]
    yield [*first, shown[0][1], "min–max"] + [head for _, head in shown[1:]]
    for name in summary.names():
        figures = summary.peers[name]
        compared = percent(summary.more(name)) if row.of_settings() else times(summary.ratio(name))
        cost = figures["cost"]
        line = [name, compared, number(cost.median)]
        line.append(f"{number(cost.least)}–{number(cost.most)}")
        for figure, _ in shown[1:]:
            known = figures.get(figure)
            line.append(value(figure, known.median) if known else "–")
        yield line


def plain(row, summary):
    table = list(cells(row, summary))
    widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
    lines = [f"{row.name}: {row.title}"]
    for line in table:
        padded = [line[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        lines.append("  " + "  ".join(padded))
    lines += [f"  {note}" for note in notes(row, summary)]
    return "\n".join(lines)


def markdown(row, summary):
    table = list(cells(row, summary))
    lines = ["| " + " | ".join(table[0]) + " |"]
    lines.append("|---|" + "---:|" * (len(table[0]) - 1))
    for line in table[1:]:
        lines.append("| " + " | ".join([styled(line[0]), *line[1:]]) + " |")
    lines += [""] + [f"- {note}" for note in notes(row, summary)]
    return "\n".join(lines).rstrip()


def styled(name):
    if is_own(name):
        return f"**{name}**"
    return f"*{name}*" if is_floor(name) else name


def notes(row, summary):
    """What the figures alone do not tell."""
    for name, reason in summary.result["failed"].items():
        if name not in summary.peers:
            yield f"{name}: failed ({reason})"
    for name, reason in summary.result["left_out"].items():
        if reason:
            yield f"{name}: left out, {reason}"
    if row.unit == rows.IDLE:
        for name in sorted(RESERVING & set(summary.peers)):
            yield f"{name}: takes its memory at the start, so what it grows by says nothing"
    disturbed = [
        name for name in summary.peers if (summary.median(name, "others") or 0) > 0.25
    ]
    if disturbed:
        yield f"others kept a core busy for more than a quarter of the time: {', '.join(disturbed)}"
    slow = [name for name in summary.peers if summary.median(name, "clean") == 0]
    if slow:
        yield f"a core was slow in most rounds of: {', '.join(slow)}"


def value(figure, median):
    if figure == "busy":
        return f"{median:.2f}"
    if figure in ("resident", "resident_full"):
        return f"{median / 1e6:.1f} MB"
    return number(median)


def percent(more):
    """A difference, of which a tenth of a percent says more than the measurement knows."""
    return "–" if more is None else f"{more * 100:+.1f} %".replace("-", "−")


def times(ratio):
    """A ratio; very small and very large ones need no two digits behind the point."""
    if not ratio:
        return "–"
    if ratio >= 100:
        return f"{ratio:.0f}"
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def number(value):
    """Three digits, and a letter for thousands and millions."""
    size = abs(value)
    if size >= 999_500:
        return f"{value / 1e6:.3g} M"
    if size >= 9_995:
        return f"{value / 1e3:.3g} k"
    if size >= 999.5:
        return f"{value:.0f}"
    if size == 0 or size == int(size) and size >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
