// Draws charts as SVG from plain data objects. Needs no library and makes no request; it knows
// nothing of the page around it.
//
//   const chart = Charts.draw(element, description);   draws into the element
//   chart.update(description);                         draws it again with new data
//   chart.remove();                                    empties the element
//   Charts.format(value, unit);                        formats a value as a chart does
//
// A description is plain JSON:
//
//   title, about    a heading, and a line below it that describes the values
//   x, y            axes: unit (count, bytes, ns, s, share), scale (linear, log, percentile), and
//                   optionally `from` and `to`, values that the axis includes
//   marks           shaded parts of the x axis: from, to, label
//   series          the last one is drawn on top: name, color (blue, orange, teal, red), shape, and
//                   values, either at regular intervals: start, step, values (null: unknown),
//                   or as points: [[x, y], ...], or as the buckets of a histogram:
//                   buckets: [[value, count], ...], in order, and precision, their relative width
//   shape           line, area, band (from `values` to `high`), step and bars (each value holds
//                   until the next), percentiles (a line; of buckets)
"use strict";

globalThis.Charts = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const COLORS = ["blue", "orange", "teal", "red"];
  /** Minimum width of a plot, in pixels. In a narrower element it is scaled down. */
  const WIDTH_MIN = 200;
  /** Narrower plots, in pixels, are lower and have fewer bars. */
  const NARROW = 440;
  /** Distance in pixels between ticks, at least. */
  const TICK_SPACE = { x: 66, y: 34 };
  /** Space for the labels of the y axis, at least. Charts above one another are then aligned. */
  const LEFT = 52;
  /** Mean width of a character of a label, in pixels. */
  const CHARACTER = 6.7;

  // ---- Elements ----

  const svg = (name, attributes, text = "") => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };

  const html = (name, className, text = "") => {
    const element = document.createElement(name);
    if (className !== "") element.className = className;
    element.textContent = text;
    return element;
  };

  const colorOf = (series) => (COLORS.includes(series.color) ? series.color : COLORS[0]);

  // ---- Values as text ----

  const digits = (value) => value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
  const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  const grouped = (value) => Math.round(value).toLocaleString("en-US");

  const scaled = (value, units) => {
    let at = 0;
    // A value that rounds up to 1000 takes the next unit.
    while (value >= 999.5 && at + 1 < units.length) {
      value /= 1000;
      at += 1;
    }
    return [digits(value), units[at]];
  };

  const seconds = (value) => {
    if (value < 1) return scaled(value * 1e9, ["ns", "µs", "ms", "s"]);
    if (value < 120) return [digits(value), "s"];
    const parts = [[3600, "h"], [60, "min"], [1, "s"]];
    let rest = Math.round(value);
    const text = parts.map(([length, unit]) => {
      const count = Math.floor(rest / length);
      rest -= count * length;
      return count > 0 ? `${count} ${unit}` : "";
    });
    return [text.filter(Boolean).slice(0, 2).join(" "), ""];
  };

  const UNITS = {
    count: (value) => {
      if (value >= 10000) return scaled(value, ["", "k", "M", "G", "T"]);
      return [value < 10 ? digits(value) : grouped(value), ""];
    },
    bytes: (value) => (value < 1000 ? [grouped(value), "B"] : scaled(value, ["B", "kB", "MB", "GB", "TB"])),
    ns: (value) => seconds(value / 1e9),
    s: seconds,
    share: (value) => [value < 0.1 ? (100 * value).toFixed(2) : digits(100 * value), "%"],
  };

  /** Formats a value with three significant digits and a fitting unit, without trailing zeros. */
  const format = (value, unit) => {
    if (!(value > 0)) return "0";
    const [number, name] = (UNITS[unit] ?? UNITS.count)(value);
    return name === "" ? trimmed(number) : `${trimmed(number)} ${name}`;
  };

  // ---- Scales and ticks ----

  const SCALES = {
    linear: (value) => value,
    log: (value) => Math.log10(Math.max(value, Number.MIN_VALUE)),
    // 90 % is 1, 99 % is 2.
    percentile: (share) => -Math.log10(Math.max(1 - share, 1e-9)),
  };

  /** Returns a function that maps a value to pixels. */
  const placed = (axis, first, last) => {
    const position = SCALES[axis.scale] ?? SCALES.linear;
    const from = position(axis.from);
    const span = position(axis.to) - from || 1;
    return (value) => {
      const share = Math.min(Math.max((position(value) - from) / span, 0), 1);
      return first + share * (last - first);
    };
  };

  /** Rounds up to one of these parts of a power of ten; the last part is 10. */
  const roundUp = (value, parts) => {
    if (!(value > 0) || !Number.isFinite(value)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return power * parts.find((part) => value <= part * power * 1.000001);
  };

  /** Steps of a time axis, in seconds, that are longer than a minute. */
  const TIMES = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

  const stepOf = (axis, count) => {
    const least = (axis.to - axis.from) / count;
    if (axis.unit === "s" && least > 30) {
      return TIMES.find((step) => step >= least) ?? 86400 * Math.ceil(least / 86400);
    }
    const step = roundUp(least, axis.unit === "s" ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10]);
    return axis.unit === "count" && axis.to >= 1 ? Math.max(Math.ceil(step), 1) : step;
  };

  const linearTicks = (axis, count) => {
    const step = stepOf(axis, count);
    const first = Math.ceil(axis.from / step - 1e-9);
    const last = Math.floor(axis.to / step + 1e-9);
    return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
  };

  /** Returns powers of ten; if they are few, also their multiples. */
  const logTicks = (axis, count) => {
    const powers = [];
    const last = Math.ceil(Math.log10(axis.to));
    for (let power = Math.floor(Math.log10(axis.from)); power <= last; power += 1) powers.push(10 ** power);
    const inside = (value) => value >= axis.from * 0.999 && value <= axis.to * 1.001;
    const multiples = (parts) => powers.flatMap((power) => parts.map((part) => part * power)).filter(inside);
    if (axis.to < axis.from * 5) return linearTicks(axis, count);
    const choices = [[1, 2, 5], [1, 3], [1]].map(multiples);
    const ticks = choices.find((some) => some.length <= count + 1) ?? choices[2];
    const every = Math.ceil(ticks.length / count);
    return ticks.length <= count + 1 ? ticks : ticks.filter((_, at) => at % every === 0);
  };

  const PERCENTILES = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999, 0.9999999];

  const ticksOf = (axis, count) => {
    if (axis.scale === "percentile") return PERCENTILES.filter((share) => share <= axis.to);
    return axis.scale === "log" ? logTicks(axis, Math.max(count, 3)) : linearTicks(axis, count);
  };

  // ---- Data ----

  const HOLDS = ["step", "bars"];

  /** Returns the points of a series without those that are unknown: x, y, and its high or end. */
  const pointsOf = (series) => {
    const { start = 0, step = 1, values, high } = series;
    if (values === undefined) return series.points ?? [];
    const at = (value, index) => [start + index * step, value, high ? high[index] : start + (index + 1) * step];
    return values.map(at).filter((point) => point[1] !== null && point[2] !== null);
  };

  /** Returns the share of all values in each of `count` bars from `from` to `to`. */
  const barsOf = ({ buckets, precision = 0.001 }, from, to, count) => {
    const width = Math.log(to / from) / count;
    const shares = new Array(count).fill(0);
    const total = buckets.reduce((sum, bucket) => sum + bucket[1], 0);
    for (const [value, times] of buckets) {
      // A bucket at the edge of two bars belongs to both, in proportion.
      const end = Math.log(value / from) / width;
      const begin = end - Math.log1p(precision) / width;
      for (let bar = Math.max(Math.floor(begin), 0); bar < Math.min(end, count); bar += 1) {
        const part = Math.min(end, bar + 1) - Math.max(begin, bar);
        shares[bar] += (times / total) * (part / (end - begin));
      }
    }
    const edge = (bar) => from * Math.exp(bar * width);
    return shares.map((share, bar) => [edge(bar), share, edge(bar + 1)]);
  };

  /** Returns, for each share of all values, the lowest of those that are higher. */
  const percentilesOf = ({ buckets }) => {
    const total = buckets.reduce((sum, bucket) => sum + bucket[1], 0);
    let before = 0;
    const points = buckets.map(([value, times]) => {
      before += times;
      return [(before - times) / total, value];
    });
    points.push([1 - 0.5 / total, buckets[buckets.length - 1][0]]);
    return points;
  };

  /** Returns the series with their points. Those without any are left out. */
  const prepared = (description, narrow) => {
    const known = (description.series ?? []).filter(({ buckets }) => buckets === undefined || buckets.length > 0);
    const values = known.flatMap(({ buckets = [] }) => buckets.map((bucket) => bucket[0]));
    const [from, to] = [Math.min(...values) * 0.95, Math.max(...values) * 1.05];
    // A bar is no narrower than two buckets.
    const count = Math.max(Math.min(narrow ? 40 : 64, Math.floor(Math.log(to / from) / 0.01)), 6);
    const all = known.map((series) => {
      if (series.buckets === undefined) return { ...series, points: pointsOf(series) };
      if (series.shape === "percentiles") return { ...series, points: percentilesOf(series) };
      return { ...series, points: barsOf(series, from, to, count) };
    });
    return all.filter(({ points }) => points.length > 0);
  };

  /** Returns an axis that includes all these values. A y axis with this many ticks ends at one. */
  const axisOf = (axis, values, ticks) => {
    const { unit = "count", scale = "linear" } = axis ?? {};
    let [from, to] = [axis?.from ?? Infinity, axis?.to ?? -Infinity];
    for (const value of values) {
      if (scale !== "log" || value > 0) from = Math.min(from, value);
      to = Math.max(to, value);
    }
    if (!(from <= to)) [from, to] = scale === "log" ? [1, 10] : [0, 1];
    const result = { unit, scale, from, to };
    if (ticks !== undefined && scale === "log") {
      [result.from, result.to] = [from * 0.8, to * 1.25];
    } else if (ticks !== undefined) {
      result.from = 0;
      const step = stepOf(result, ticks);
      result.to = Math.max(Math.ceil(to / step - 1e-9), 1) * step;
    } else if (from === to) {
      result.to = from + 1;
    }
    return result;
  };

  // ---- Drawing ----

  const frameOf = (description, width) => {
    const narrow = width < NARROW;
    const height = narrow ? 196 : Math.round(Math.min(width * 0.45, 260));
    const series = prepared(description, narrow);
    const isHeld = ({ shape }) => HOLDS.includes(shape);
    const xs = series.flatMap((one) => one.points.flatMap((p) => (isHeld(one) ? [p[0], p[2]] : [p[0]])));
    const ys = series.flatMap(({ shape, points }) => points.flatMap((p) => (shape === "band" ? [p[1], p[2]] : [p[1]])));
    const [top, bottom] = [18, height - 28];
    const count = Math.floor((bottom - top) / TICK_SPACE.y);
    const [x, y] = [axisOf(description.x, xs), axisOf(description.y, ys, count)];
    const rows = ticksOf(y, count);
    const labels = rows.map((value) => format(value, y.unit));
    const labelWidth = Math.max(...labels.map((label) => label.length)) * CHARACTER + 14;
    const left = narrow ? labelWidth : Math.max(labelWidth, LEFT);
    const right = width - 14;
    const toX = placed(x, left, right);
    return { width, height, series, x, y, top, bottom, left, right, rows, labels, toX, toY: placed(y, bottom, top) };
  };

  const drawAxes = (out, frame) => {
    const { x, left, right, bottom, toX, toY, rows, labels } = frame;
    rows.forEach((value, at) => {
      const height = toY(value).toFixed(1);
      out.append(svg("path", { class: "grid", d: `M${left} ${height}H${right}` }));
      out.append(svg("text", { class: "y", x: left - 8, y: Number(height) + 4 }, labels[at]));
    });
    // The end of the last label, in pixels.
    let end = -Infinity;
    for (const value of ticksOf(x, Math.floor((right - left) / TICK_SPACE.x))) {
      const at = toX(value);
      const label = x.scale === "percentile" ? `${trimmed((100 * value).toFixed(5))} %` : format(value, x.unit);
      const half = (label.length * CHARACTER) / 2;
      out.append(svg("path", { class: "tick", d: `M${at.toFixed(1)} ${bottom}v4` }));
      const middle = Math.min(at, frame.width - half);
      if (middle - half < end + 8) continue;
      out.append(svg("text", { class: "x", x: middle.toFixed(1), y: bottom + 18 }, label));
      end = middle + half;
    }
    out.append(svg("path", { class: "axis", d: `M${left} ${bottom}H${right}` }));
  };

  const drawMarks = (out, frame, marks) => {
    for (const { from, to, label = "" } of marks) {
      const [begin, end] = [frame.toX(from), frame.toX(to)];
      const [width, height] = [(end - begin).toFixed(1), frame.bottom - frame.top];
      out.append(svg("rect", { class: "mark", x: begin.toFixed(1), y: frame.top, width, height }));
      if (end - begin > label.length * CHARACTER) {
        out.append(svg("text", { class: "mark-label", x: end.toFixed(1), y: frame.top - 5 }, label));
      }
    }
  };

  const lineOf = (points) => points.map(([x, y], at) => `${at === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

  const drawSeries = (out, series, { toX, toY, bottom }) => {
    const { shape, points } = series;
    const color = colorOf(series);
    if (shape === "bars") {
      for (const [from, value, until] of points.filter((point) => point[1] > 0)) {
        const [begin, end] = [toX(from), toX(until)];
        const top = Math.min(toY(value), bottom - 1);
        const gap = end - begin > 3 ? 1 : 0;
        const size = { width: Math.max(end - begin - gap, 0.6).toFixed(1), height: (bottom - top).toFixed(1) };
        out.append(svg("rect", { class: `bar ${color}`, x: begin.toFixed(1), y: top.toFixed(1), ...size }));
      }
      return;
    }
    const place = ([x, y]) => [toX(x), toY(y)];
    if (shape === "band") {
      const back = points.map(([x, , high]) => [toX(x), toY(high)]).reverse();
      out.append(svg("path", { class: `area ${color}`, d: `${lineOf(points.map(place).concat(back))}Z` }));
      return;
    }
    const held = ([x, y, until]) => [[toX(x), toY(y)], [toX(until), toY(y)]];
    const line = shape === "step" ? points.flatMap(held) : points.map(place);
    if (shape === "area") {
      const closed = [...line, [line[line.length - 1][0], bottom], [line[0][0], bottom]];
      out.append(svg("path", { class: `area ${color}`, d: `${lineOf(closed)}Z` }));
    }
    out.append(svg("path", { class: `line ${color}`, d: lineOf(line) }));
  };

  /** Describes the chart in one sentence, for those who do not see it. */
  const labelOf = ({ title = "", about = "" }, { series, y }) => {
    const highest = series.filter(isNamed).map(({ name, points }) => {
      const most = points.reduce((most, point) => Math.max(most, point[1]), 0);
      return `${name} up to ${format(most, y.unit)}`;
    });
    return `${title}: ${[about, ...highest].join("; ")}`;
  };

  const isNamed = ({ shape }) => shape !== "band";

  const legendOf = (series) => {
    const legend = html("div", "legend");
    // In the order in which a reader names them: the one on top first.
    for (const one of series.filter(isNamed).reverse()) {
      const entry = html("span", "");
      entry.append(html("i", colorOf(one)), one.name ?? "");
      legend.append(entry);
    }
    return legend;
  };

  // ---- The readout of values below the pointer ----

  /** Returns the point of a series at this pixel. */
  const pointAt = ({ shape, points }, pixel, toX) => {
    if (HOLDS.includes(shape)) return points.find((point) => toX(point[0]) <= pixel && pixel < toX(point[2]));
    const distance = (point) => Math.abs(toX(point[0]) - pixel);
    return points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
  };

  const positionText = (series, point, { x }) => {
    if (x.scale === "percentile") return `${trimmed((100 * point[0]).toFixed(4))} %`;
    const first = format(point[0], x.unit);
    return HOLDS.includes(series.shape) ? `${first} to ${format(point[2], x.unit)}` : first;
  };

  const showReadout = (chart, pixel) => {
    const { frame, pointer, readout } = chart;
    const found = frame.series.filter(isNamed).reverse();
    const pairs = found.map((series) => [series, pointAt(series, pixel, frame.toX)]);
    const known = pairs.filter((pair) => pair[1] !== undefined);
    if (known.length === 0) return hideReadout(chart);
    const [series, point] = known[0];
    const middle = HOLDS.includes(series.shape) ? (frame.toX(point[0]) + frame.toX(point[2])) / 2 : frame.toX(point[0]);
    pointer.replaceChildren(svg("path", { class: "pointer", d: `M${middle.toFixed(1)} ${frame.top}V${frame.bottom}` }));
    readout.replaceChildren(html("b", "", positionText(series, point, frame)));
    for (const [one, [x, y]] of known) {
      const row = html("span", "");
      row.append(html("i", colorOf(one)), `${one.name ?? ""} `, html("strong", "", format(y, frame.y.unit)));
      readout.append(row);
      if (HOLDS.includes(one.shape)) continue;
      const place = { cx: frame.toX(x).toFixed(1), cy: frame.toY(y).toFixed(1) };
      pointer.append(svg("circle", { class: `dot ${colorOf(one)}`, r: 3.5, ...place }));
    }
    readout.hidden = false;
    const space = frame.width - readout.offsetWidth;
    const beside = middle > frame.width / 2 ? middle - readout.offsetWidth - 12 : middle + 12;
    readout.style.left = `${Math.max(Math.min(beside, space), 0)}px`;
    chart.pixel = pixel;
  };

  const hideReadout = (chart) => {
    chart.readout.hidden = true;
    chart.pointer?.replaceChildren();
    chart.pixel = undefined;
  };

  const render = (chart) => {
    const { element, plot, readout, description } = chart;
    const width = Math.max(Math.round(plot.clientWidth), WIDTH_MIN);
    const frame = frameOf(description, width);
    const { height, series } = frame;
    const out = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": labelOf(description, frame) });
    drawMarks(out, frame, description.marks ?? []);
    drawAxes(out, frame);
    series.forEach((one) => drawSeries(out, one, frame));
    const pointer = svg("g", {});
    out.append(pointer);
    Object.assign(chart, { frame, pointer, width });
    plot.replaceChildren(out, readout);
    const caption = html("figcaption", "");
    caption.append(html("b", "", description.title), html("span", "", description.about));
    const legend = series.filter(isNamed).length > 1 ? [legendOf(series)] : [];
    element.replaceChildren(caption, plot, ...legend);
    if (chart.pixel !== undefined) showReadout(chart, chart.pixel);
  };

  /** Draws a chart into an element, in place of what is in it. */
  const draw = (element, description) => {
    const [plot, readout] = [html("div", "plot"), html("div", "readout")];
    readout.hidden = true;
    const chart = { element, description, plot, readout };
    const follow = (event) => showReadout(chart, event.clientX - plot.getBoundingClientRect().left);
    plot.addEventListener("pointermove", follow);
    plot.addEventListener("pointerdown", follow);
    // What a finger has shown stays until it touches another place.
    plot.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && hideReadout(chart));
    const leave = (event) => plot.contains(event.target) || hideReadout(chart);
    document.addEventListener("pointerdown", leave);
    element.classList.add("chart");
    element.replaceChildren(plot);
    render(chart);
    const fit = () => Math.max(Math.round(plot.clientWidth), WIDTH_MIN) !== chart.width && render(chart);
    // Drawn in the next frame: an observer may not change the size of what it observes.
    const resized = new ResizeObserver(() => requestAnimationFrame(fit));
    resized.observe(plot);
    return {
      update(next) {
        chart.description = next;
        render(chart);
      },
      remove() {
        resized.disconnect();
        document.removeEventListener("pointerdown", leave);
        element.replaceChildren();
      },
    };
  };

  return { draw, format };
})();
