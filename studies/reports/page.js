"use strict";
// Draws the figures of a report in the colours of the page: light, dark, or as on paper.
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const isTouched = matchMedia("(pointer: coarse)").matches;
  const config = { displayModeBar: false, responsive: false, showTips: false, doubleClick: "reset" };

  const coloured = (value, style, isColour = false) => {
    if (typeof value === "string") {
      return isColour && value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => coloured(item, style, isColour));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, coloured(item, style, /color$/i.test(key))]),
    );
  };

  const draw = () => {
    const style = getComputedStyle(root);
    for (const figure of figures) {
      const place = document.getElementById(figure.id);
      if (place.clientWidth === 0) continue; // hidden: the other one of the pair (wide or narrow) is shown
      const layout = coloured(figure.layout, style);
      layout.width = place.clientWidth;
      layout.dragmode = isTouched ? false : "zoom"; // on a touch screen, dragging scrolls the page
      Plotly.react(place, coloured(figure.data, style), layout, config);
    }
  };

  let waiting;
  const drawSoon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 150);
  };
  let width = root.clientWidth;
  addEventListener("resize", () => {
    if (root.clientWidth === width) return; // only the height changed, as when a phone hides its address bar
    width = root.clientWidth;
    drawSoon();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
    root.classList.add("on-paper");
    draw();
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
    root.classList.remove("on-paper");
    draw();
  });
  draw();
})();
