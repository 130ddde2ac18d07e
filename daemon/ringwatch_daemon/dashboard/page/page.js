"use strict";
// Draws what /events tells. Texts of the stream become text nodes only, never markup.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 66, right: 12, top: 8, bottom: 30 };
const FRAME = 22;
const $ = (id) => document.getElementById(id);
let chosen = null;
let newest = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) return null;
  const room = high > low ? 0.04 * (high - low) : 0.05 * Math.abs(low) || 1;
  return [low - room, high + room];
}

function ticks([low, high], wanted) {
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const digits = Math.max(0, Math.min(12, -Math.floor(Math.log10(step) + 1e-9)));
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high && found.length < 20; at += 1)
    found.push([at * step, (at * step).toFixed(digits)]);
  return found;
}

function line(x, y, px, py, asDots) {
  let drawn = "", pen = "M";
  x.forEach((at, i) => {
    if (y[i] === null || at === null) { pen = "M"; return; }
    drawn += `${pen}${px(at).toFixed(1)} ${py(y[i]).toFixed(1)}${asDots ? "h0" : ""}`;
    pen = asDots ? "M" : "L";
  });
  return drawn;
}

function chart({ x, y, sigma, width, height, marks, xLabel, joined, over }) {
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const spanX = extent(x);
  const spread = sigma ? y.flatMap((value, i) => value === null ? [] : [value - (sigma[i] ?? 0), value + (sigma[i] ?? 0)]) : y;
  const spanY = extent([...spread, ...(over ?? []).flatMap((each) => each.y)]);
  if (!spanX || !spanY) {
    svg.append(shape("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "nothing yet"));
    return svg;
  }
  const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
  const px = (value) => MARGIN.left + (value - spanX[0]) / (spanX[1] - spanX[0]) * (right - MARGIN.left);
  const py = (value) => bottom - (value - spanY[0]) / (spanY[1] - spanY[0]) * (bottom - MARGIN.top);
  for (const [at, label] of ticks(spanX, Math.max(3, width / 110))) {
    svg.append(shape("path", { class: "grid", d: `M${px(at)} ${MARGIN.top}V${bottom}` }));
    svg.append(shape("text", { x: px(at), y: bottom + 14, "text-anchor": "middle" }, label));
  }
  for (const [at, label] of ticks(spanY, Math.max(4, height / 36))) {
    svg.append(shape("path", { class: "grid", d: `M${MARGIN.left} ${py(at)}H${right}` }));
    svg.append(shape("text", { x: MARGIN.left - 5, y: py(at) + 4, "text-anchor": "end" }, label));
  }
  svg.append(shape("text", { x: right, y: height - 3, "text-anchor": "end" }, xLabel));
  for (const mark of marks ?? []) {
    if (mark.time_h === null || mark.time_h < spanX[0] || mark.time_h > spanX[1]) continue;
    const line = shape("path", { class: "event", d: `M${px(mark.time_h)} ${MARGIN.top}V${bottom}` });
    line.append(shape("title", {}, `${mark.kind}: ${mark.text}`));
    svg.append(line);
  }
  if (joined) {
    const asDots = Boolean(over?.length);
    svg.append(shape("path", { class: asDots ? "counts" : "curve", d: line(x, y, px, py, asDots) }));
    for (const each of over ?? []) svg.append(shape("path", { class: each.kind, d: line(x, each.y, px, py) }));
    return svg;
  }
  let bars = "", dots = "";
  x.forEach((at, i) => {
    if (y[i] === null || at === null) return;
    const here = `${px(at).toFixed(1)} ${py(y[i]).toFixed(1)}`;
    dots += `M${here}m-1.8 0a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0 -3.6 0`;
    if (sigma && sigma[i] !== null)
      bars += `M${px(at).toFixed(1)} ${py(y[i] - sigma[i]).toFixed(1)}V${py(y[i] + sigma[i]).toFixed(1)}`;
  });
  svg.append(shape("path", { class: "bars", d: bars }), shape("path", { class: "dots", d: dots }));
  return svg;
}

function card(title, value, drawing, wide) {
  const figure = element("figure", wide ? { class: "wide" } : {});
  figure.append(element("figcaption", {}, title, element("span", {}, value)), drawing);
  return figure;
}

function charts(state) {
  const cell = state.cells.find((each) => each.name === chosen) ?? state.cells[0];
  const marks = state.events.filter((event) => /^(ONSET_|SHORT_CIRCUIT)/.test(event.kind) && (!event.cell || event.cell === cell?.name));
  // As wide as they will be shown, so that letters keep their size.
  const columns = getComputedStyle($("charts")).gridTemplateColumns.split(" ").map(parseFloat).filter((width) => width > 0);
  const narrow = Math.max(280, (columns[0] ?? 460) - FRAME), wide = Math.max(280, $("charts").clientWidth - FRAME);
  const drawn = [];
  if (state.pattern) {
    const { x, y, frame, cell: shown, fit: model, background, residual } = state.pattern;
    const over = model ? [{ y: background, kind: "background" }, { y: model, kind: "model" }] : [];
    const fit = state.fit ? `fit ${state.fit.state.toLowerCase()}, chi-square ${state.fit.chi_square?.toPrecision(3) ?? "-"}` : "";
    const title = model ? "newest pattern, its fit and (dashed) background" : "newest pattern";
    drawn.push(card(title, `frame ${frame}${shown ? ` of ${shown}` : ""}  ${fit}`,
      chart({ x, y, over, width: wide, height: 260, xLabel: "2θ (degree)", joined: true }), true));
    if (residual) drawn.push(card("what the fit leaves, in sigma", "",
      chart({ x, y: residual, width: wide, height: 120, xLabel: "2θ (degree)", joined: true }), true));
  }
  const xLabel = `hours since ${state.zero}`;
  for (const quantity of state.quantities) {
    const track = cell?.tracks[quantity.path];
    if (!track || !track.v.length) continue;
    const unit = quantity.unit ? ` (${quantity.unit})` : "";
    drawn.push(card(`${quantity.phase}: ${quantity.label}${unit}`, cell.newest[quantity.path] ?? "",
      chart({ x: track.t, y: track.v, sigma: track.s, width: narrow, height: 210, marks, xLabel })));
  }
  for (const [name, title] of [["voltage", "cell voltage (V)"], ["current", "cell current (mA)"]]) {
    const track = cell?.[name];
    if (!track || !track.v.length) continue;
    drawn.push(card(title, track.v.at(-1).toPrecision(4),
      chart({ x: track.t, y: track.v, width: narrow, height: 210, marks, xLabel, joined: true })));
  }
  $("charts").replaceChildren(...drawn);
}

function numbers(id, parts) {
  $(id).replaceChildren(...parts.filter(Boolean).map(([text, kind]) => element("span", kind ? { class: kind } : {}, text)));
}

function cells(state) {
  if (!state.cells.some((cell) => cell.name === chosen)) chosen = state.cells[0]?.name ?? null;
  const buttons = state.cells.length < 2 ? [] : state.cells.map((cell) => {
    const button = element("button", { type: "button", "aria-pressed": String(cell.name === chosen) }, cell.name || "not named");
    button.addEventListener("click", () => { chosen = cell.name; show(newest); });
    return button;
  });
  $("cells").replaceChildren(...buttons);
}

function show(state) {
  newest = state;
  document.title = state.run ? `${state.run} · ringwatch` : "ringwatch";
  $("run").textContent = state.run || "waits for a run";
  const on = state.source.state === "CONNECTED";
  $("source").textContent = state.stopped !== null ? "run ended" : (state.source.state || "no status yet").toLowerCase();
  $("source").className = `pill ${state.stopped === null && on ? "good" : "quiet"}`;
  $("times").textContent = [state.stopped ?? state.source.text, state.started && `since ${state.started}`,
    state.newest_frame !== "-" && `newest frame ${state.newest_frame}`].filter(Boolean).join(" · ");
  const { announced, processed, rejected, lost } = state.totals;
  numbers("ledger", [[`${processed} of ${announced} frames processed`], [`${rejected} rejected`, rejected ? "bad" : "good"],
    [`${lost} lost`, lost ? "bad" : "good"], state.reasons && [state.reasons, "quiet"]]);
  numbers("health", [state.frames_per_s !== null && [`${state.frames_per_s.toPrecision(3)} frames/s`],
    state.latency_s !== null && [`latency ${(1e3 * state.latency_s).toFixed(0)} ms`],
    ...state.queues.map((queue) => [`${queue.name.replace("_MiB", " (MiB)")}: ${queue.length} waiting (most ${queue.most} of ${queue.capacity})`])]);
  const warnings = [...state.flags, state.missed, state.silence].filter(Boolean);
  $("warnings").replaceChildren(...warnings.map((text) => element("p", {}, text)));
  cells(state);
  charts(state);
  $("events").tBodies[0].replaceChildren(...state.events.toReversed().map((event) => element("tr", {},
    element("td", {}, event.at), element("td", {}, event.cell ? `${event.kind} (${event.cell})` : event.kind),
    element("td", {}, event.sigma_h === null ? event.text : `${event.text} (± ${event.sigma_h.toPrecision(2)} h)`))));
}

addEventListener("resize", () => { if (newest) charts(newest); });
fetch("/state").then((answer) => answer.json()).then(show).catch(() => {});
const source = new EventSource("/events");
source.addEventListener("message", (event) => show(JSON.parse(event.data)));
source.addEventListener("error", () => {
  $("source").textContent = "ringwatch watch does not answer";
  $("source").className = "pill bad";
});
