"use strict";
(() => {
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  /* Values of a chart: nearest to the pointer, or one after the other by the arrow keys. */
  for (const svg of document.querySelectorAll("svg[data-marks]")) {
    const chart = svg.parentElement;
    const marks = JSON.parse(svg.dataset.marks);
    const dot = document.createElementNS(svg.namespaceURI, "circle");
    const words = document.createElement("output");
    const hint = "Point at the chart, or use the arrow keys on it, to read values.";
    let at = -1;
    dot.setAttribute("r", "5");
    dot.setAttribute("class", "dot");
    dot.style.display = "none";
    svg.append(dot);
    words.className = "readout";
    words.textContent = hint;
    chart.after(words);
    const show = (i) => {
      at = i;
      dot.style.display = i < 0 ? "none" : "";
      words.textContent = i < 0 ? hint : marks.text[i];
      words.classList.toggle("on", i >= 0);
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
    chart.addEventListener("keydown", (event) => {
      const last = marks.x.length - 1;
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") show(-1);
      if (to === undefined) return;
      event.preventDefault();
      show(clamp(to, 0, last));
    });
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
