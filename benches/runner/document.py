"""Writes the measured figures into the pages: between the markers, and nowhere else.

`<!-- begin: NAME -->` … `<!-- end -->` encloses what is made here. By hand is the rest."""

import re

from . import charts, counts, paths, rounds, rows, tables
from .summary import OWN_NAME, Summary, is_own, is_product

PAGES = ["benchmarks.md", "memory.md"]
CHARTS = {
    "echo": "Echo: what one message costs",
    "relay": "Relay: what one message costs",
    "stream": "Relay: what a gibibyte costs",
    "hub": "Hub: what one delivery costs",
    "udp": "UDP: what a datagram and its answer cost",
    "idle": "Idle: what one connection holds",
}


def write(folder):
    """Makes every generated part of every page anew."""
    book = Book(folder)
    for name in PAGES:
        path = paths.DOCS / name
        if path.exists():
            path.write_text(fill(path.read_text(), book))
    for group, title in CHARTS.items():
        pairs = book.group(group)
        if pairs:
            path = paths.DOCS / "benchmarks" / f"{group}.svg"
            path.parent.mkdir(exist_ok=True)
            path.write_text(charts.chart(title, pairs))
    return 0


def fill(page, book):
    def made(found):
        kind, _, argument = found.group(2).partition(" ")
        text = getattr(book, f"make_{kind}")(argument)
        return f"{found.group(1)}\n{text}\n{found.group(4)}"

    marked = r"(<!-- begin: ([\w -]+?) -->)\n(.*?)(<!-- end -->)"
    return re.sub(marked, made, page, flags=re.DOTALL)


class Book:
    """All results, and the parts of pages that are made of them."""

    def __init__(self, folder):
        self.results = rounds.load_all(folder)
        self.counts = counts.load(folder)
        self.rows = [row for row in rows.ROWS if row.name in self.results]

    def compared(self):
        """The rows in which oneloop is compared with others."""
        return [row for row in self.rows if not row.of_settings()]

    def group(self, name):
        return [(row, self.summary(row)) for row in self.rows if row.group() == name]

    def summary(self, row):
        return Summary(self.results[row.name])

    def make_machine(self, _):
        """On what, when, and with whom. Rows may be of several days, and of several machines."""
        machines = {}
        for row in self.rows:
            known = self.results[row.name]["machine"]
            days, names = machines.setdefault(machine_name(known), (set(), []))
            days.add(known["date"])
            names.append(row.name)
        if not machines:
            return "Nothing was measured yet."
        (first, (days, _)), *others = machines.items()
        lines = [f"Measured {span(days)} on {first}. {self.versions()}".rstrip()]
        lines += [
            f"{', '.join(names)}: {span(days)} on {other}." for other, (days, names) in others
        ]
        return " ".join(lines)

    def versions(self):
        known = {}
        for row in self.rows:
            known |= self.results[row.name].get("versions", {})
        told = [f"{name} {number}" for name, number in known.items()]
        return f"Versions: {', '.join(told)}." if told else ""

    def make_overview(self, _):
        lines = ["| row | oneloop | best product | ratio | goal | floor |"]
        lines.append("|---|---:|---:|---:|---:|---:|")
        for row in self.compared():
            lines.append(self.overview_line(row, self.summary(row)))
        return "\n".join(lines)

    def overview_line(self, row, summary):
        own = summary.median(OWN_NAME, "cost")
        best, floor = summary.best_product(), summary.best_floor()
        ratio = summary.ratio(OWN_NAME)
        cells = [f"[{row.title}](#{row.name})"]
        cells.append(f"{tables.number(own)} {short_unit(row)}" if own else "–")
        cells.append(f"{tables.number(summary.median(best, 'cost'))} ({best})" if best else "–")
        if row.most:
            met, goal = own and own <= row.most, f"{row.most:g} {short_unit(row)}"
        else:
            met, goal = ratio and ratio >= row.goal - 0.005, f"{row.goal:g}"
        cells.append(f"**{tables.times(ratio)}**" if met else tables.times(ratio))
        cells.append(goal)
        cells.append(tables.times(summary.ratio(floor)) if floor else "–")
        return "| " + " | ".join(cells) + " |"

    def make_row(self, name):
        row = next((row for row in self.rows if row.name == name), None)
        if not row:
            return "Not measured yet."
        result = self.results[name]
        how = f"{result['rounds']} rounds of {result['seconds']:g} s"
        return f"`benches/run --rows {name}` ({how})\n\n{tables.markdown(row, self.summary(row))}"

    def make_group(self, name):
        """Every row of a group, each under its own heading."""
        parts = [
            f'<a id="{row.name}"></a>\n#### {row.title}\n\n{self.make_row(row.name)}'
            for row, _ in self.group(name)
        ]
        return "\n\n".join(parts) or "Not measured yet."

    def make_chart(self, name):
        return f"![{CHARTS[name]}](benchmarks/{name}.svg)" if self.group(name) else ""

    def make_counts(self, _):
        parts = [
            self.count_table(row)
            for row in rows.ROWS
            if row.name in self.counts["counts"]
        ]
        return "\n\n".join(parts) or "Not counted yet."

    def count_table(self, row):
        known = self.counts["counts"][row.name]
        heading, *lines = counts.cells(known)
        table = [f"| {' | '.join(heading)} |", "|---|---:|---|---:|"]
        table += [f"| {' | '.join([tables.styled(line[0]), *line[1:]])} |" for line in lines]
        return f"#### {row.title}\n\n" + "\n".join(table)

    def make_peers(self, _):
        """How many rows each product leads, among products and oneloop."""
        leads = {}
        for row in self.compared():
            names = [n for n in self.summary(row).names() if is_own(n) or is_product(n)]
            if names:
                leads[names[0]] = leads.get(names[0], 0) + 1
        order = sorted(leads.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {count}" for name, count in order)


def short_unit(row):
    return tables.BY_UNIT[row.unit][0].removeprefix("CPU ").removeprefix("user ")


def machine_name(facts):
    return "{cores} cores of {cpu}, {memory_gib} GiB, {kernel}".format_map(facts)


def span(days):
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"
