"use strict";
// Draws the lines of the report. What it draws is in the element #data; colours are those of page.css.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const plots = [];
  const dashes = [[], [6, 3], [2, 3], [10, 3, 2, 3], [], [6, 3], [2, 3], [10, 3, 2, 3]];
  let colours = {};

  // A custom property holds both schemes' colours; only a used colour says which one it is.
  function look() {
    const probe = document.createElement("i");
    document.body.append(probe);
    const of = function (name) {
      probe.style.color = "var(--" + name + ")";
      return getComputedStyle(probe).color;
    };
    colours = { text: of("text"), muted: of("muted"), line: of("line"), bad: of("bad"), fault: of("fault"), series: [] };
    for (let i = 0; i < 8; i++) colours.series.push(of("s" + i));
    probe.remove();
  }

  function elapsed(seconds) {
    const sign = seconds < 0 ? "-" : "", s = Math.round(Math.abs(seconds)), h = Math.floor(s / 3600);
    const two = function (n) { return String(n).padStart(2, "0"); };
    return sign + (h ? h + ":" + two(Math.floor(s / 60) % 60) : Math.floor(s / 60)) + ":" + two(s % 60);
  }

  function spell(value, unit) {
    if (value == null) return "–";
    if (unit === "ms" && Math.abs(value) >= 1000) return Number((value / 1000).toPrecision(3)) + " s";
    const short = Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
    return short + (unit ? " " + unit : "");
  }

  // marks shades the time of faults, under the lines, and writes on them what it is, and the limit.
  function marks(chart) {
    const within = function (u, draw) {
      u.ctx.save();
      u.ctx.beginPath();
      u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
      u.ctx.clip();
      u.ctx.font = 11 * devicePixelRatio + "px system-ui, sans-serif";
      data.bands.forEach(function (band, i) {
        const next = data.bands[i + 1];
        const room = next ? u.valToPos(next.from, "x", true) : u.bbox.left + u.bbox.width;
        draw(band, u.valToPos(band.from, "x", true), u.valToPos(band.until, "x", true), room);
      });
      u.ctx.restore();
    };
    const shades = function (u) {
      within(u, function (band, from, until) {
        u.ctx.globalAlpha = 0.17;
        u.ctx.fillStyle = colours.fault;
        u.ctx.fillRect(from, u.bbox.top, Math.max(until - from, devicePixelRatio), u.bbox.height);
      });
    };
    const names = function (u) {
      within(u, function (band, from, until, room) {
        const dpr = devicePixelRatio;
        u.ctx.fillStyle = colours.muted;
        u.ctx.textAlign = "left";
        u.ctx.textBaseline = "top";
        if (room - from > u.ctx.measureText(band.label).width + 6 * dpr) u.ctx.fillText(band.label, from + 4 * dpr, u.bbox.top + 3 * dpr);
      });
    };
    const limit = function (u) {
      if (!chart.limit) return;
      const y = u.valToPos(chart.limit.value, "y", true), ctx = u.ctx, dpr = devicePixelRatio;
      if (y < u.bbox.top || y > u.bbox.top + u.bbox.height) return;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colours.bad;
      ctx.lineWidth = 1.5 * dpr;
      ctx.setLineDash([6 * dpr, 4 * dpr]);
      ctx.beginPath();
      ctx.moveTo(u.bbox.left, y);
      ctx.lineTo(u.bbox.left + u.bbox.width, y);
      ctx.stroke();
      ctx.font = 11 * dpr + "px system-ui, sans-serif";
      ctx.textAlign = "right";
      ctx.textBaseline = "bottom";
      ctx.fillText(chart.limit.label, u.bbox.left + u.bbox.width - 4 * dpr, y - 2 * dpr);
      ctx.restore();
    };
    return { hooks: { drawClear: [shades], draw: [names, limit] } };
  }

  function tens(v) { return Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6; }

  function range(chart) {
    return function (u, low, high) {
      if (low == null) return chart.log ? [1, 10] : [0, 1];
      if (chart.log) return [Math.pow(10, Math.floor(Math.log10(Math.max(low, 0.001)))), Math.pow(10, Math.ceil(Math.log10(Math.max(high, 0.002))))];
      let top = high;
      // A limit that is not too far away belongs into the picture.
      if (chart.limit && chart.limit.value < 2.5 * high) top = Math.max(top, chart.limit.value);
      return [0, top > 0 ? top * 1.08 : 1];
    };
  }

  function draw(chart) {
    const place = document.getElementById(chart.id);
    const axis = { stroke: function () { return colours.muted; }, grid: { stroke: function () { return colours.line; }, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const options = {
      width: place.clientWidth, height: 240, padding: [8, 8, 0, 0],
      cursor: { sync: { key: "time" }, points: { size: 7 } },
      scales: {
        x: { time: false },
        y: chart.log ? { distr: 3, range: range(chart) } : { range: range(chart) },
      },
      axes: [
        Object.assign({
          incrs: [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400], space: 70, size: 28,
          values: function (u, ticks) { return ticks.map(elapsed); },
        }, axis),
        Object.assign({
          size: 62,
          filter: chart.log ? function (u, splits) { return splits.map(function (v) { return tens(v) ? v : null; }); } : undefined,
          values: function (u, ticks) { return ticks.map(function (v) { return v == null ? "" : spell(v, chart.unit); }); },
        }, axis, chart.log ? { grid: Object.assign({ filter: function (u, splits) { return splits.map(function (v) { return tens(v) ? v : null; }); } }, axis.grid) } : {}),
      ],
      legend: { markers: { fill: function (u, i) { return i ? colours.series[(i - 1) % 8] : "transparent"; } } },
      series: [{ label: "time", value: function (u, v) { return v == null ? "–" : elapsed(v); } }].concat(chart.lines.map(function (l, i) {
        return {
          label: l.label, stroke: function () { return colours.series[i % 8]; }, width: 1.8, dash: dashes[i % 8],
          points: { size: 4 }, value: function (u, v) { return spell(v, chart.unit); },
        };
      })),
      plugins: [marks(chart)],
    };
    const plot = new uPlot(options, [chart.x].concat(chart.lines.map(function (l) { return l.y; })), place);
    plot.root.querySelector("canvas").setAttribute("role", "img");
    plot.root.querySelector("canvas").setAttribute("aria-label", "Lines over time; the table below has the figures");
    plots.push({ plot: plot, place: place });
  }

  function fit(width) {
    for (const p of plots) p.plot.setSize({ width: width || p.place.clientWidth, height: p.plot.height });
  }

  function again() {
    look();
    for (const p of plots) {
      p.plot.redraw(false, true);
      p.plot.root.querySelectorAll(".u-series .u-marker").forEach(function (marker, i) {
        if (i) marker.style.background = marker.style.borderColor = colours.series[(i - 1) % 8];
      });
    }
  }

  look();
  data.charts.forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let waiting = 0;
  new ResizeObserver(function () {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(function () { fit(0); });
  }).observe(document.querySelector("main"));
  addEventListener("beforeprint", function () {
    document.documentElement.style.colorScheme = "light";
    fit(690);
    again();
  });
  addEventListener("afterprint", function () {
    document.documentElement.style.colorScheme = "";
    fit(0);
    again();
  });
})();
