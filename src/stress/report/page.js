// Describes the charts of a run and draws those that have data.
"use strict";

(() => {
  const run = JSON.parse(document.getElementById("values").textContent);
  const some = (values) => values.some((value) => value > 0);
  const known = (values) => values.map((value) => (value > 0 ? value : null));
  const count = (value) => Charts.format(value, "count");
  const linear = (unit, to) => ({ unit, scale: "linear", to });
  const latency = { unit: "ns", scale: "log" };
  const marks = run.measured ? [{ from: run.measured[0], to: run.measured[1], label: "measured" }] : [];
  const steps = run.open.length;

  /** Describes a chart over the time of the run. Values are those at the ends of the steps. */
  const overTime = (title, about, y, series) => {
    const each = series.map((one) => ({ start: run.step, step: run.step, ...one }));
    const x = { unit: "s", scale: "linear", from: 0, to: steps * run.step };
    // A single step has no course.
    return steps > 1 && { title, about, x, y, marks, series: each };
  };

  const perSecond = (values) => values.map((value) => value / run.step);

  const open = () => {
    const about = run.persistent > 0 ? `open connections; ${count(run.persistent)} persistent requested` : "open connections";
    const series = { name: "open", color: "blue", shape: "area", start: 0, values: [0, ...run.open] };
    return some(run.open) && overTime("Open connections", about, linear("count"), [series]);
  };

  const ramp = () => ({
    title: "Ramp",
    about: run.ramp_rate === null ? "persistent connections" : `persistent connections; ${count(run.ramp_rate)}/s`,
    x: linear("s"),
    y: linear("count"),
    series: [{ name: "connected", color: "teal", shape: "area", step: run.ramp.step, values: [0, ...run.ramp.open] }],
  });

  const rate = () => {
    const does = (unit) => run.loads.some((load) => load.unit === unit);
    const area = (name, color, values) => ({ name, color, shape: "area", values: perSecond(values) });
    const series = [];
    if (does("message") && some(run.answered)) series.push(area("messages", "blue", run.answered));
    if (does("connection") && some(run.exchanged)) series.push(area("connections", "orange", run.exchanged));
    if (series.length > 0) return overTime("Rate", "answers per second", linear("count"), series);
    const bytes = [area("bytes", "blue", run.bytes)];
    return does("gibibyte") && some(run.bytes) && overTime("Throughput", "bytes per second, both directions", linear("bytes"), bytes);
  };

  const latencyOverTime = () => {
    const [low, high] = [known(run.p50), known(run.p99)];
    const series = [
      { color: "orange", shape: "band", values: low, high },
      { name: "p50", color: "blue", shape: "line", values: low },
      { name: "p99", color: "orange", shape: "line", values: high },
    ];
    return run.p50.filter((value) => value > 0).length > 1 && overTime("Latency over time", "per time step; logarithmic", latency, series);
  };

  const distributions = ({ name, latency: measured, corrected }) => {
    if (measured.length < 2) return [];
    const of = run.loads.length > 1 ? ` of ${name}` : "";
    const one = (shape) => ({ name: "measured", color: "blue", shape, precision: run.precision, buckets: measured });
    const other = (shape) => ({ ...one(shape), name: "corrected for coordinated omission", color: "orange", buckets: corrected });
    return [
      {
        title: `Latency${of}`,
        about: "share of all answers; logarithmic time axis",
        x: latency,
        y: linear("share"),
        series: [one("bars"), other("step")],
      },
      {
        title: `Latency${of} by percentile`,
        about: "minimum latency of the slowest share; both axes logarithmic",
        x: { unit: "share", scale: "percentile" },
        y: latency,
        series: [other("percentiles"), one("percentiles")],
      },
    ];
  };

  const counts = (title, about, values) => {
    const series = [{ name: "count", color: "red", shape: "bars", start: 0, values }];
    return some(values) && overTime(title, `${about}, per time step`, linear("count"), series);
  };

  const memory = () => {
    const series = [{ name: "memory", color: "teal", shape: "area", values: known(run.memory) }];
    const about = "the server's own user memory, without kernel memory";
    return some(run.memory) && overTime("Server memory", about, linear("bytes"), series);
  };

  /** Describes the share of one core that the server used between readings of its CPU time. */
  const cpu = () => {
    const shares = run.cpu.map(() => null);
    let last;
    run.cpu.forEach((spent, at) => {
      if (spent === 0 || spent === run.cpu[last]) return;
      if (last !== undefined) shares[at] = (spent - run.cpu[last]) / 1e9 / ((at - last) * run.step);
      last = at;
    });
    const series = [{ name: "share", color: "teal", shape: "area", values: shares }];
    return shares.filter((share) => share !== null).length > 1
      && overTime("Server CPU time", "of one core, read once a second", linear("share", 1), series);
  };

  const descriptions = [
    open(),
    run.ramp.open[run.ramp.open.length - 1] > 1 && ramp(),
    rate(),
    latencyOverTime(),
    ...run.loads.flatMap(distributions),
    counts("Deaths", "idle connections that died", run.died),
    counts("Failures", "failed connects, answers and closes", run.failed),
    memory(),
    cpu(),
  ].filter(Boolean);
  const charts = document.getElementById("charts");
  charts.parentElement.hidden = descriptions.length === 0;
  for (const description of descriptions) {
    const figure = document.createElement("figure");
    charts.append(figure);
    Charts.draw(figure, description);
  }
})();
