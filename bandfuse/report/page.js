"use strict";
(() => {
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  const hint = "Point at the chart, or use the arrow keys on it, to read values.";

  /* Values of a chart: nearest to the pointer, or one after the other by the arrow keys. */
  const readable = (svg, marks) => {
    const chart = svg.parentElement;
    const dot = document.createElementNS(svg.namespaceURI, "circle");
    let words = chart.nextElementSibling;
    let at = -1;
    if (!words || words.className.split(" ")[0] !== "readout") {
      words = document.createElement("output");
      chart.after(words);
    }
    dot.setAttribute("r", "5");
    dot.setAttribute("class", "dot");
    svg.append(dot);
    const show = (i) => {
      at = i;
      dot.style.display = i < 0 ? "none" : "";
      words.textContent = i < 0 ? hint : marks.text[i];
      words.className = i < 0 ? "readout" : "readout on";
      if (i < 0) return;
      dot.setAttribute("cx", marks.x[i]);
      dot.setAttribute("cy", marks.y[i]);
    };
    const nearest = (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const across = marks.across ? 1e4 : 1;
      let best = -1;
      let least = Infinity;
      for (let i = 0; i < marks.x.length; i += 1) {
        const far = across * (marks.x[i] - place.x) ** 2 + (marks.y[i] - place.y) ** 2;
        if (far < least) [least, best] = [far, i];
      }
      show(best);
    };
    svg.addEventListener("pointermove", nearest);
    svg.addEventListener("pointerdown", nearest);
    chart.onkeydown = (event) => {
      const last = marks.x.length - 1;
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") show(-1);
      if (to === undefined) return;
      event.preventDefault();
      show(clamp(to, 0, last));
    };
    show(-1);
  };
  for (const svg of document.querySelectorAll("svg[data-marks]")) readable(svg, JSON.parse(svg.dataset.marks));

  /* Any output of many: its weights, drawn when it is chosen. */
  const [WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM] = [763, 240, 64, 8, 10, 44];
  const plain = (value, digits = 4) => {
    if (!value) return "0";
    const [mantissa, power] = value.toExponential(digits - 1).split("e");
    const text = power > -5 && power < 6 ? String(+value.toPrecision(digits))
      : `${mantissa}×10${power.replace("+", "").replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻")}`;
    return text.replace("-", "−");
  };
  const ticks = (low, high, most) => {
    const rough = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= rough);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
    return found;
  };
  const draw = (chart, all, one) => {
    const at = one.at ?? all.x.map((_, i) => i);
    const order = at.map((_, i) => i).sort((a, b) => all.x[at[a]] - all.x[at[b]]);
    const value = (column) => order.map((i) => column[i] * one.unit);
    const x = order.map((i) => all.x[at[i]]);
    const [w, low, high] = [one.w, one.low ?? one.w, one.high ?? one.w].map(value);
    const every = [...all.x].sort((a, b) => a - b);
    const pad = 0.015 * (every.at(-1) - every[0]) || 0.6;
    const [left, right] = [every[0] - pad, every.at(-1) + pad];
    let [bottom, top] = [Math.min(0, ...w, ...low), Math.max(0, ...w, ...high)];
    const air = 0.05 * (top - bottom) || 1;
    [bottom, top] = [bottom - air, top + air];
    const px = (v) => LEFT + ((v - left) / (right - left)) * (WIDE - LEFT - RIGHT);
    const py = (v) => HIGH - BOTTOM - ((v - bottom) / (top - bottom)) * (HIGH - TOP - BOTTOM);
    chart.innerHTML = "<svg></svg>";
    const svg = chart.firstChild;
    const put = (name, attributes, text) => {
      const node = document.createElementNS(svg.namespaceURI, name);
      for (const [key, v] of Object.entries(attributes)) node.setAttribute(key, v);
      if (text !== undefined) node.textContent = text;
      svg.append(node);
    };
    const line = (kind, x1, y1, x2, y2) => put("line", { class: kind, x1, y1, x2, y2 });
    svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Weights of output ${one.label}`);
    if (one.centre !== null && all.axis[0] === "w") {
      const half = (one.fwhm ?? 0) / 2;
      const [from, to] = [one.centre - half, one.centre + half].map((v) => clamp(px(v), LEFT, WIDE - RIGHT));
      put("rect", { class: "wide", x: from, y: TOP, width: to - from, height: HIGH - TOP - BOTTOM });
      line("aim", px(one.centre), TOP, px(one.centre), HIGH - BOTTOM);
    }
    for (const v of ticks(bottom, top, 6)) {
      line("rule", LEFT, py(v), WIDE - RIGHT, py(v));
      put("text", { x: LEFT - 5, y: py(v) + 3.5, "text-anchor": "end" }, plain(v));
    }
    for (const v of ticks(left, right, 10)) put("text", { x: px(v), y: HIGH - BOTTOM + 15, "text-anchor": "middle" }, plain(v, 5));
    put("text", { x: (LEFT + WIDE - RIGHT) / 2, y: HIGH - 10, "text-anchor": "middle" }, all.axis);
    put("text", { transform: `translate(12 ${(HIGH - BOTTOM + TOP) / 2}) rotate(-90)`, "text-anchor": "middle" }, "effective weight");
    line("zero", LEFT, py(0), WIDE - RIGHT, py(0));
    const steps = x.slice(1).map((v, i) => v - x[i]).filter((v) => v > 0).sort((a, b) => a - b);
    const longest = 3 * (steps[Math.floor((steps.length - 1) / 2)] ?? Infinity);
    let run = [];
    order.forEach((i, k) => {
      run.push(k);
      const next = order[k + 1];
      const joined = next !== undefined && x[k + 1] - x[k] <= longest && all.line[at[i]] === all.line[at[next]];
      if (joined) return;
      const path = (column) => run.map((n) => `${px(x[n]).toFixed(1)},${py(column[n]).toFixed(1)}`);
      if (one.low) put("polygon", { class: "tint", points: [...path(low), ...path(high).reverse()].join(" ") });
      put("polyline", { class: "line", points: path(w).join(" ") });
      for (const n of run) put("circle", { class: "point", r: 2, cx: px(x[n]), cy: py(w[n]) });
      run = [];
    });
    line("axis", LEFT, TOP, LEFT, HIGH - BOTTOM);
    line("axis", LEFT, HIGH - BOTTOM, WIDE - RIGHT, HIGH - BOTTOM);
    const nm = (v) => (all.axis[0] === "w" ? `, ${v.toFixed(1)} nm` : "");
    const interval = (k) => (one.low ? ` (95\u202f%: ${plain(low[k], 3)} to ${plain(high[k], 3)})` : "");
    readable(svg, {
      x: x.map(px), y: w.map(py), across: true,
      text: order.map((i, k) => `${all.bands[at[i]]}${nm(x[k])}: ${plain(w[k])}${interval(k)}`),
    });
  };
  for (const card of document.querySelectorAll(".demand")) {
    const all = JSON.parse(card.dataset.outputs);
    const [which, facts, chart] = ["select", "dl", ".chart"].map((name) => card.querySelector(name));
    which.append(...all.outputs.map((one) => new Option(one.label)));
    const choose = () => {
      const one = all.outputs[which.selectedIndex];
      facts.replaceChildren(...one.facts.map(([name, value]) => {
        const pair = document.createElement("div");
        for (const [tag, text] of [["dt", name], ["dd", value]]) {
          pair.append(Object.assign(document.createElement(tag), { textContent: text }));
        }
        return pair;
      }));
      draw(chart, all, one);
    };
    which.addEventListener("change", choose);
    if (all.outputs.length) choose();
    card.hidden = !all.outputs.length;
  }

  /* Two pictures on top of each other, and a line between them that moves. */
  for (const box of document.querySelectorAll(".compare")) {
    const pictures = [...document.querySelectorAll(".looks img")];
    const [left, right] = box.querySelectorAll("select");
    const stage = box.querySelector(".stage");
    const slider = box.querySelector("input");
    const line = document.createElement("span");
    line.className = "line";
    const split = () => {
      stage.style.setProperty("--split", `${slider.value}%`);
      slider.setAttribute("aria-valuetext", `${slider.value} % of ${left.selectedOptions[0].text}`);
    };
    const choose = () => {
      const under = pictures[right.selectedIndex].cloneNode();
      const over = pictures[left.selectedIndex].cloneNode();
      under.className = "under";
      over.className = "over";
      stage.replaceChildren(under, over, line);
      box.style.setProperty("--shape", under.width / under.height);
    };
    const drag = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const edge = stage.getBoundingClientRect();
      slider.value = clamp((100 * (event.clientX - edge.left)) / edge.width, 0, 100);
      split();
    };
    left.addEventListener("change", () => { choose(); split(); });
    right.addEventListener("change", choose);
    slider.addEventListener("input", split);
    stage.addEventListener("pointerdown", drag);
    stage.addEventListener("pointermove", drag);
    stage.addEventListener("dragstart", (event) => event.preventDefault());
    choose();
    split();
    box.hidden = false;
  }
})();
