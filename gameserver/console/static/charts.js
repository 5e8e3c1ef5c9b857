// Draws the charts of a page, and anew every minute. Without it the sentence above each says the same.
"use strict";

(() => {
  const frame = document.getElementById("charts");
  if (!frame || !window.uPlot) return;
  const zone = frame.dataset.tz === "local" ? null : frame.dataset.tz;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const drawn = [];

  function options(lines, width) {
    const ink = style("--soft"), line = style("--line"), colours = [style("--link"), style("--bad"), style("--good")];
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    return {
      width, height: 180, axes: [axis, axis], scales: { y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.05] } },
      // The day has 23 or 25 hours twice a year: ticks are those of the zone.
      ...(zone ? { tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone) } : {}),
      series: [{}, ...lines.map((each, place) => ({ label: each.label, stroke: colours[place], width: 2, spanGaps: false,
        value: (_, value) => value == null ? "–" : `${value}${each.unit}` }))],
    };
  }

  // Rows with nothing between them are no line.
  function columns(lines, rows, step) {
    const data = [[], ...lines.map(() => [])];
    let before = null;
    for (const row of rows) {
      if (before !== null && row.at_ms - before > 1.5 * step) {
        data[0].push((before + step) / 1000);
        lines.forEach((_, place) => data[place + 1].push(null));
      }
      data[0].push(row.at_ms / 1000);
      lines.forEach((each, place) => data[place + 1].push(row[each.name]));
      before = row.at_ms;
    }
    return data;
  }

  async function draw() {
    if (document.hidden) return;
    const answer = await fetch(frame.dataset.from, { redirect: "error" }).catch(() => null);
    if (!answer || !answer.ok) return;
    const { rows, step_ms } = await answer.json();
    for (const [place, part] of [...frame.querySelectorAll("[data-chart]")].entries()) {
      const known = drawn[place];
      if (known) { known.plot.setData(columns(known.lines, rows, step_ms)); continue; }
      const lines = [...part.querySelectorAll("[data-line]")].map((each) =>
        ({ name: each.dataset.line, unit: each.dataset.unit, label: each.textContent }));
      part.replaceChildren();
      const plot = new uPlot(options(lines, part.clientWidth || 300), columns(lines, rows, step_ms), part);
      drawn[place] = { plot, lines, part };
    }
  }

  addEventListener("resize", () => {
    for (const { plot, part } of drawn) plot.setSize({ width: part.clientWidth || 300, height: 180 });
  });
  // The next one is asked for when the last has come: they never pile up.
  const again = () => setTimeout(() => draw().finally(again), 60000);
  draw().finally(again);
})();
