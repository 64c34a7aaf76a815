
/* Spectra before and after at the point of the picture that is clicked. */
(() => {
  const [WIDE, HIGH, LEFT, TOP, BOTTOM] = [520, 230, 58, 12, 36];
  for (const box of document.querySelectorAll(".spots[data-spots]")) {
    const all = JSON.parse(box.dataset.spots);
    const map = box.querySelector(".map");
    const target = box.querySelector(".clicked");
    const pin = Object.assign(document.createElement("span"), { className: "pin chosen" });
    const range = (values) => values.filter((v) => v !== null && Number.isFinite(v));
    const steps = (low, high, most) => {
      const rough = (high - low) / most || 1;
      const power = 10 ** Math.floor(Math.log10(rough));
      const step = power * [1, 2, 5, 10].find((n) => n * power >= rough * (1 - 1e-9));
      const found = [];
      for (let i = Math.ceil(low / step); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
      return found;
    };
    const show = (index) => {
      const spot = all.spots[index];
      const values = range([...spot.before, ...spot.after]);
      if (!values.length) return;
      const [least, high] = [Math.min(...values), Math.max(...values)];
      const low = least > high / 2 ? least - 0.05 * (high - least) : Math.min(0, least); // far from zero: no empty room
      const [first, last] = [all.x[0], all.x[all.x.length - 1]];
      const px = (v) => LEFT + ((v - first) / (last - first || 1)) * (WIDE - LEFT - 8);
      const py = (v) => HIGH - BOTTOM - ((v - low) / (high - low || 1)) * (HIGH - TOP - BOTTOM);
      target.innerHTML = "<svg></svg>";
      const svg = target.firstChild;
      const put = (name, attributes, text) => {
        const node = document.createElementNS(svg.namespaceURI, name);
        for (const [key, v] of Object.entries(attributes)) node.setAttribute(key, v);
        if (text !== undefined) node.textContent = text;
        svg.append(node);
      };
      svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", `Spectra at row ${spot.at[0]}, column ${spot.at[1]}`);
      for (const v of steps(low, high, 5)) {
        put("line", { class: "rule", x1: LEFT, y1: py(v), x2: WIDE - 8, y2: py(v) });
        put("text", { x: LEFT - 5, y: py(v) + 4, "text-anchor": "end" }, String(+v.toPrecision(4)).replace("-", "−"));
      }
      for (const v of steps(first, last, 7)) put("text", { x: px(v), y: HIGH - BOTTOM + 15, "text-anchor": "middle" }, String(+v.toPrecision(5)));
      put("text", { x: (LEFT + WIDE) / 2, y: HIGH - 5, "text-anchor": "middle" }, all.axis);
      const gaps = all.x.slice(1).map((v, i) => v - all.x[i]).sort((a, b) => a - b);
      const longest = 3 * (gaps[Math.floor(gaps.length / 2)] ?? Infinity);
      for (const kind of ["before", "after"]) {
        let path = "";
        spot[kind].forEach((v, i) => {
          const broken = v === null || (i && (spot[kind][i - 1] === null || all.x[i] - all.x[i - 1] > longest)) || !i;
          if (v !== null) path += `${broken ? "M" : "L"}${px(all.x[i]).toFixed(1)},${py(v).toFixed(1)}`;
        });
        put("path", { class: kind, d: path });
      }
      pin.style.left = `${100 * spot.x}%`;
      pin.style.top = `${100 * spot.y}%`;
      map.append(pin);
      box.querySelector(".where").textContent = `Row ${spot.at[0]}, column ${spot.at[1]}: dashed before, solid after.`;
      map.dataset.shown = index;
    };
    const choose = (event) => {
      const edge = map.getBoundingClientRect();
      const [x, y] = [(event.clientX - edge.left) / edge.width, (event.clientY - edge.top) / edge.height];
      let best = 0;
      let least = Infinity;
      all.spots.forEach((spot, i) => {
        const far = ((spot.x - x) * edge.width) ** 2 + ((spot.y - y) * edge.height) ** 2;
        if (far < least) [least, best] = [far, i];
      });
      show(best);
    };
    map.addEventListener("click", choose);
    map.tabIndex = 0;
    map.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show((Number(map.dataset.shown ?? -1) + step + all.spots.length) % all.spots.length);
    });
    show(all.first[0] ?? 0);
  }
})();
