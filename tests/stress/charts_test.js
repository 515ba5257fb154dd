// Checks charts.js in a browser, and writes the result into the page.
"use strict";

const failures = [];
const equal = (what, actual, expected) => {
  const texts = [actual, expected].map((value) => JSON.stringify(value));
  if (texts[0] !== texts[1]) failures.push(`${what}: ${texts[0]}, expected ${texts[1]}`);
};

/** Draws a chart into a new element of this width. */
const drawn = (description, width = 560) => {
  const element = document.createElement("figure");
  element.style.margin = "0";
  element.style.width = `${width}px`;
  document.body.append(element);
  return { element, chart: Charts.draw(element, description) };
};
const all = (element, selector) => [...element.querySelectorAll(selector)];
const texts = (element, selector) => all(element, selector).map((found) => found.textContent);
const linear = (unit) => ({ unit, scale: "linear" });
const line = (points, more = {}) => ({ name: "it", color: "blue", shape: "line", points, ...more });
const simple = (series, more = {}) => ({ title: "a", about: "b", x: linear("s"), y: linear("count"), series, ...more });

// A label is short, and its unit fits.
const labels = [
  [1e6, "ns", "1 ms"], [15839, "ns", "15.8 µs"], [999.6, "ns", "1 µs"], [0, "ns", "0"],
  [50000, "count", "50 k"], [1234, "count", "1,234"], [0.5, "count", "0.5"],
  [1.5e9, "bytes", "1.5 GB"], [100, "bytes", "100 B"], [999600, "bytes", "1 MB"],
  [2.5, "s", "2.5 s"], [180, "s", "3 min"], [5400, "s", "1 h 30 min"], [0.2, "s", "200 ms"],
  [0.125, "share", "12.5 %"], [0.004, "share", "0.4 %"], [1, "share", "100 %"],
];
labels.forEach(([value, unit, text]) => equal(`${value} ${unit}`, Charts.format(value, unit), text));

// An axis ends at a round value above all, and its ticks are round.
const yLabels = (values, y, more) => texts(drawn(simple([line(values.map((value, at) => [at, value]))], { y, ...more })).element, ".y");
equal("y to 87", yLabels([1, 87], linear("count")).at(-1), "100");
equal("y to 24 %", yLabels([0, 0.24], linear("share")), ["0", "5 %", "10 %", "15 %", "20 %", "25 %"]);
equal("y to 3", yLabels([0, 3], linear("count")), ["0", "1", "2", "3"]);
equal("y of zeros", yLabels([0, 0], linear("count")), ["0", "1"]);
equal("y of latencies", yLabels([2e4, 4e6], { unit: "ns", scale: "log" }), ["30 µs", "100 µs", "300 µs", "1 ms", "3 ms"]);
equal("y of a narrow range", yLabels([1e6, 1.1e6], { unit: "ns", scale: "log" }).length > 2, true);
const hours = drawn(simple([line([[0, 1], [7200, 2]])])).element;
equal("x of two hours", texts(hours, ".x"), ["0", "30 min", "1 h", "1 h 30 min", "2 h"]);

// Points are drawn at their positions. The plot is 560 wide.
const placed = drawn(simple([line([[0, 0], [10, 4]])])).element;
const frame = placed.querySelector("svg").getAttribute("viewBox").split(" ").map(Number);
equal("a line", placed.querySelector(".line").getAttribute("d"), `M52.0 ${frame[3] - 28}.0L546.0 18.0`);
equal("a legend of one series", all(placed, ".legend").length, 0);

// Unknown values are left out, and a chart without any is drawn.
const gaps = drawn(simple([line(undefined, { start: 1, step: 1, values: [1, null, 3] })])).element;
equal("points of a line with a gap", gaps.querySelector(".line").getAttribute("d").split(/[ML]/).length, 3);
equal("lines without values", all(drawn(simple([line([])])).element, ".line").length, 0);
equal("a description without series", all(drawn({}).element, "svg").length, 1);

// Bars hold until the next, and zero has none.
const bars = drawn(simple([line(undefined, { shape: "bars", start: 0, step: 5, values: [10, 0, 5] })])).element;
equal("bars", all(bars, ".bar").length, 2);
const shapes = ["area", "step", "band"].map((shape) => drawn(simple([line(undefined, { shape, values: [1, 2], high: [3, 4] })])).element);
equal("areas", shapes.map((element) => all(element, ".area").length), [1, 0, 1]);

// A histogram has all of its values, and a percentile the lowest value above it.
const buckets = Array.from({ length: 1000 }, (_, at) => [1000 * (at + 1), 1]);
const view = (shape, x, y, width) => drawn(simple([line(undefined, { shape, buckets, precision: 0.02 })], { x, y }), width).element;
const [nanos, share] = [{ unit: "ns", scale: "log" }, { unit: "share", scale: "percentile" }];
const histogram = view("bars", nanos, linear("share"), 560);
const heights = all(histogram, ".bar").map((bar) => Number(bar.getAttribute("height")));
const highest = Number(texts(histogram, ".y").at(-1).split(" ")[0]);
const sum = (heights.reduce((sum, height) => sum + height, 0) / (frame[3] - 46)) * highest;
equal("a histogram's sum in per cent", Math.abs(sum - 100) < 3, true);
const curve = view("percentiles", share, nanos, 560);
equal("percentiles", texts(curve, ".x").slice(0, 4), ["50 %", "90 %", "99 %", "99.9 %"]);

/** Moves the pointer over a chart, to this share of its width, and returns the readout. */
const readAt = (element, part) => {
  const plot = element.querySelector(".plot");
  const { left, width } = plot.getBoundingClientRect();
  plot.dispatchEvent(new PointerEvent("pointermove", { clientX: left + part * width }));
  return element.querySelector(".readout");
};
const ninety = Number(all(curve, ".x").find((label) => label.textContent === "90 %").getAttribute("x"));
equal("the readout at 90 %", readAt(curve, ninety / 560).textContent, "90 %it 901 µs");
equal("the readout of a line", readAt(placed, 1).textContent, "10 sit 4");
placed.querySelector(".plot").dispatchEvent(new PointerEvent("pointerleave", { pointerType: "mouse" }));
equal("the readout is hidden", placed.querySelector(".readout").hidden, true);
equal("the readout of a bar", readAt(bars, 0.2).textContent, "0 to 5 sit 10");

// A chart has a label for those who do not see it.
equal("a role", placed.querySelector("svg").getAttribute("role"), "img");
equal("a label", placed.querySelector("svg").getAttribute("aria-label"), "a: b; it up to 4");

// Text cannot inject markup, and an unknown color is no class.
const evil = "</b></script><script>failures.push('injected')</script><img src=x onerror=failures.push('injected')>";
const series = line([[0, 1], [1, 2]], { name: evil, color: `blue" ${evil}` });
const marks = [{ from: 0, to: 1, label: evil }];
const injected = drawn({ ...simple([series, series], { marks }), title: evil, about: evil }).element;
readAt(injected, 0.5);
equal("elements of a text", all(injected, "script, img").length, 0);
equal("a title", texts(injected, "figcaption b"), [evil]);
equal("entries of a legend", texts(injected, ".legend span"), [evil, evil]);
equal("a color", injected.querySelector(".line").getAttribute("class"), "line blue");

// No label is on top of another at any width, and all are inside.
for (const width of [240, 366, 560, 1000]) {
  const held = line(undefined, { shape: "bars", buckets });
  const slow = line([[0, 1], [0.9999999, 2]]);
  for (const description of [simple([line([[0, 1e9], [86399, 2e9]])]), simple([held], { x: nanos }), simple([slow], { x: share })]) {
    const { element } = drawn(description, width);
    const edges = all(element, ".x").map((label) => label.getBoundingClientRect());
    const apart = edges.every((edge, at) => at === 0 || edge.left > edges[at - 1].right);
    equal(`labels at ${width}`, [apart, edges.length > 1, edges.at(-1).right <= width + 15], [true, true, true]);
  }
}

// An update draws new data in the same element, and a removed chart leaves nothing.
const { element, chart } = drawn(simple([line([[0, 1], [1, 2]])]));
chart.update(simple([line([[0, 1], [1, 80]])], { title: "new" }));
equal("an update", [texts(element, "figcaption b"), all(element, "svg").length, texts(element, ".y").at(-1)], [["new"], 1, "80"]);
chart.remove();
equal("a removed chart", element.childNodes.length, 0);

const result = document.createElement("p");
result.textContent = failures.length === 0 ? "All checks passed." : failures.join("\n");
document.body.replaceChildren(result);
console.info("checked");
