# SPDX-License-Identifier: MIT
"""Draw what bench/shapes has measured: nanoseconds a call by the number of keys, one panel for each mix of keys.

    build/bench/shapes --json | python3 bench/plot.py doc/shapes.svg

On standard output: how far the planner's model was off, and what its choices cost beside the best ones.
"""
import json
import math
import statistics
import sys

MIXES = {"hot": "always one key", "zipf": "Zipf 1.2", "uniform": "uniform"}
LINES = [  # what is drawn, how it is called, colour, dashes
    (lambda row: row["ns"]["fnptr"], "function pointers, unchecked", "#888888", "4 3"),
    (lambda row: row["ns"]["tree"], "tree, weighted", "#1b7837", ""),
    (lambda row: row["ns"]["hash"], "hash", "#2166ac", ""),
    (lambda row: row["ns"]["hash+4"], "hash behind 4 hottest keys", "#2166ac", "2 2"),
    (lambda row: row["ns"]["dense"], "dense", "#b2182b", ""),
]
PANEL_WIDTH, PANEL_HEIGHT, LEFT, TOP, GAP, LEGEND = 300, 260, 50, 40, 50, 90


def shape_of(plan):
    return plan.split("+")[0]


class Panel:
    """One mix: n from 1 to 4096 by 1 to 64 ns, both logarithmic."""

    def __init__(self, rows, left):
        self.rows, self.left = rows, left

    def x(self, n):
        return self.left + math.log2(n) / 12 * PANEL_WIDTH

    def y(self, ns):
        return TOP + PANEL_HEIGHT * (1 - math.log2(ns) / 6)

    def axes(self, title):
        yield (f'<rect x="{self.left}" y="{TOP}" width="{PANEL_WIDTH}" height="{PANEL_HEIGHT}" fill="none" '
               f'stroke="#444"/><text x="{self.left + PANEL_WIDTH / 2}" y="{TOP - 12}" text-anchor="middle" '
               f'font-weight="bold">{title}</text>')
        for exponent in range(0, 13, 2):
            yield (f'<text x="{self.x(2 ** exponent):.1f}" y="{TOP + PANEL_HEIGHT + 16}" text-anchor="middle">'
                   f'{2 ** exponent}</text>')
        for ns in (1, 2, 4, 8, 16, 32, 64):
            yield (f'<line x1="{self.left}" x2="{self.left + PANEL_WIDTH}" y1="{self.y(ns):.1f}" y2="{self.y(ns):.1f}" '
                   f'stroke="#ddd"/><text x="{self.left - 6}" y="{self.y(ns) + 4:.1f}" text-anchor="end">{ns}</text>')

    def dots(self):
        for row in self.rows:
            yield f'<circle cx="{self.x(row["n"]):.1f}" cy="{self.y(row["ns"][row["chosen"]]):.1f}" r="3"/>'

    def line(self, value, colour, dashes):
        points = " ".join(f"{self.x(row['n']):.1f},{self.y(value(row)):.1f}" for row in self.rows)
        return (f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6" '
                f'stroke-dasharray="{dashes}"/>')


def drawing(rows):
    width = LEFT + len(MIXES) * (PANEL_WIDTH + GAP)
    height = TOP + PANEL_HEIGHT + LEGEND
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
           f'font-size="11"><rect width="{width}" height="{height}" fill="white"/>')
    for number, (mix, title) in enumerate(MIXES.items()):
        shown = [row for row in rows if row["keys"] == mix]
        panel = Panel(shown, LEFT + number * (PANEL_WIDTH + GAP))
        yield from panel.axes(f"{title}: ns a call by number of keys")
        for value, _, colour, dashes in LINES:
            yield panel.line(value, colour, dashes)
        yield from panel.dots()
    for number, (_, name, colour, dashes) in enumerate(LINES):
        x, y = LEFT + number % 3 * (PANEL_WIDTH + GAP), TOP + PANEL_HEIGHT + 42 + number // 3 * 20
        yield (f'<line x1="{x}" x2="{x + 30}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="1.6" '
               f'stroke-dasharray="{dashes}"/><text x="{x + 38}" y="{y + 4}">{name}</text>')
    x, y = LEFT + 2 * (PANEL_WIDTH + GAP), TOP + PANEL_HEIGHT + 62
    yield f'<circle cx="{x + 15}" cy="{y}" r="3"/><text x="{x + 38}" y="{y + 4}">what the planner chooses</text></svg>'


def best(row):
    return min(ns for plan, ns in row["ns"].items() if plan != "fnptr")


def report_model(rows):
    """Of each shape the planner expects a cost with the hottest keys that it would compare first: set it beside the
    best that was measured of this shape."""
    errors = {}
    for row in rows:
        for shape, expected in row["expected"].items():
            measured = min(ns for plan, ns in row["ns"].items() if shape_of(plan) == shape)
            errors.setdefault((row["keys"], shape), []).append(expected / measured - 1)
    print("expected / measured - 1: median, and the worst")
    for (mix, shape), values in errors.items():
        print(f"  {mix:8} {shape:6} {statistics.median(values):+6.2f}  {max(values, key=abs):+6.2f}")


def report_choices(rows):
    """What a choice costs beside the best plan, for the keys that it was made for and for those of another mix."""
    at = {(row["keys"], row["n"]): row for row in rows}
    print("the choice for a mix / the best plan, under the same and under other keys: median, and the worst")
    for chosen_for in MIXES:
        for mix in MIXES:
            ratios = [(row["ns"][at[chosen_for, row["n"]]["chosen"]] / best(row), row["n"])
                      for row in rows if row["keys"] == mix]
            middle, worst = statistics.median(ratio for ratio, _ in ratios), max(ratios)
            print(f"  for {chosen_for:8} under {mix:8} {middle:5.2f}  {worst[0]:5.2f} (n = {worst[1]})")


def main():
    rows = json.load(sys.stdin)
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write("\n".join(drawing(rows)) + "\n")
    report_model(rows)
    report_choices(rows)


if __name__ == "__main__":
    main()
