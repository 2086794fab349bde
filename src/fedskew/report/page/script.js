"use strict";
// What a reader can choose, and exact values under the pointer and the keyboard. Without it everything is shown.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const data = JSON.parse(document.getElementById("report-data").textContent);
  // Curves come in whole numbers (figures/curves.py): rounds and means as steps, the range as distances from the mean.
  const added = (steps) => {
    let sum = 0;
    return steps.map((step) => (step === null ? null : (sum += step)));
  };
  for (const { digits, curves } of Object.values(data.curves)) {
    for (const one of curves) {
      const mean = added(one.mean);
      const beside = (distances, sign) =>
        mean.map((value, at) => (value === null ? null : (value + sign * (distances?.[at] ?? 0)) / 10 ** digits));
      one.round = one.span ? Array.from({ length: one.span[1] }, (_, step) => one.span[0] + step) : added(one.round);
      one.low = beside(one.low, -1);
      one.high = beside(one.high, 1);
      one.mean = beside(null, 0);
      if (!Array.isArray(one.seeds)) one.seeds = Array(one.round.length).fill(one.seeds);
    }
  }
  const tip = document.getElementById("tip");
  const form = document.getElementById("controls");
  const SVG = "http://www.w3.org/2000/svg";

  // ---- choosing --------------------------------------------------------------------------------------------------

  const chosen = (name) => new Set(all(`input[name="${name}"]:checked`, form).map((input) => input.value));

  function apply() {
    const series = chosen("series");
    const among = (name) => {
      const labels = chosen(name);
      return (value) => !form.elements[name] || labels.has(value);
    };
    const metric = form.elements.metric.value;
    const x = form.elements.x ? form.elements.x.value : null;
    const fits = {
      metric: (value) => metric === "all" || value === metric || (metric === "main" && data.main.includes(value)),
      column: among("column"),
      part: among("part"),
      x: (value) => x === null || value === x,
    };
    for (const chart of all(".chart")) {
      chart.hidden = !Object.entries(fits).every(([key, fit]) => !(key in chart.dataset) || fit(chart.dataset[key]));
    }
    for (const mark of all(".chart [data-series]")) mark.classList.toggle("off", !series.has(mark.dataset.series));
    for (const group of all("[data-group]")) {
      const none = group.querySelector(".none");
      if (none) none.hidden = all(".chart", group).some((chart) => !chart.hidden);
    }
    hide();
  }

  if (form) {
    for (const input of all("input[hidden]", form)) {
      input.hidden = false;
      input.disabled = false;
    }
    for (const part of all(".scripted", form)) part.hidden = false;
    form.addEventListener("change", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  // ---- the tip ---------------------------------------------------------------------------------------------------

  function show(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = x + 14 + width < innerWidth ? x + 14 : Math.max(x - width - 14, 8);
    tip.style.left = `${Math.min(left, Math.max(innerWidth - width - 8, 8))}px`;
    tip.style.top = `${y + 14 + height < innerHeight ? y + 14 : Math.max(y - height - 14, 8)}px`;
  }

  let again = null; // shows the tip of the focused element again, at its new place

  function hide() {
    again = null;
    tip.hidden = true;
    for (const line of all(".cursor")) line.remove();
  }

  const focused = (place) => {
    again = place;
    place();
  };

  // The page may scroll under a resting pointer: what it then enters or leaves takes no tip from the keyboard.
  const pointed = (event, tell) => {
    if (again && !event.movementX && !event.movementY) return;
    again = null;
    show(tell(), event.clientX, event.clientY);
  };
  const away = () => again || hide();

  for (const point of all(".point")) {
    const title = point.querySelector("title");
    const text = title.textContent;
    title.remove(); // or the browser's own tip would cover this one
    point.setAttribute("aria-label", text.replaceAll("\n", "; "));
    point.dataset.tip = text;
    point.addEventListener("pointermove", (event) => pointed(event, () => text));
    point.addEventListener("pointerleave", away);
    point.addEventListener("focus", () =>
      focused(() => {
        const box = point.getBoundingClientRect();
        show(text, box.right, box.top);
      }),
    );
    point.addEventListener("blur", hide);
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  // Reaching a point by keyboard may scroll the page: its tip goes with it, one under the pointer goes away.
  addEventListener("scroll", () => (again ? again() : hide()), { passive: true });

  // ---- curves: the values of one round ---------------------------------------------------------------------------

  function words(curve, round) {
    const series = chosen("series");
    const lines = [`round ${round}`];
    const number = (value) => (value === null ? "–" : value.toFixed(curve.digits));
    for (const one of curve.curves) {
      const at = one.round.indexOf(round);
      if (at < 0 || !series.has(one.series)) continue;
      const seeds = one.seeds[at];
      const range = seeds > 1 ? ` (${number(one.low[at])} to ${number(one.high[at])}, ${seeds} seeds)` : " (1 seed)";
      lines.push(`${one.label}: ${number(one.mean[at])}${curve.unit}${range}`);
    }
    return lines.join("\n");
  }

  for (const chart of all("[data-curve]")) {
    const curve = data.curves[chart.dataset.curve];
    const svg = chart.querySelector("svg");
    const [left, top, right, bottom] = curve.box;
    const [first, last] = curve.rounds;
    const rounds = [...new Set(curve.curves.flatMap((one) => one.round))].sort((a, b) => a - b);
    const share = (round) => left + ((right - left) * (round - first)) / (last - first);
    let at = rounds.length - 1;

    const go = (index) => {
      at = Math.min(Math.max(index, 0), rounds.length - 1);
      const text = words(curve, rounds[at]);
      svg.setAttribute("aria-valuenow", rounds[at]);
      svg.setAttribute("aria-valuetext", text.replaceAll("\n", "; "));
      for (const line of all(".cursor")) line.remove();
      const { width, height } = svg.viewBox.baseVal;
      const line = document.createElementNS(SVG, "line");
      line.setAttribute("class", "cursor");
      line.setAttribute("x1", width * share(rounds[at]));
      line.setAttribute("x2", width * share(rounds[at]));
      line.setAttribute("y1", height * top);
      line.setAttribute("y2", height * bottom);
      svg.append(line);
      return text;
    };

    const nearest = (event) => {
      const box = svg.getBoundingClientRect();
      const place = (event.clientX - box.left) / box.width;
      const gap = (round) => Math.abs(share(round) - place);
      const best = rounds.reduce((found, round, index) => (gap(round) < gap(rounds[found]) ? index : found), 0);
      pointed(event, () => go(best));
    };

    const keyed = (index) => {
      const text = go(index);
      focused(() => {
        const box = svg.getBoundingClientRect();
        show(text, box.left + box.width * share(rounds[at]), box.top + box.height * top);
      });
    };

    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "slider");
    svg.setAttribute("aria-valuemin", rounds[0]);
    svg.setAttribute("aria-valuemax", rounds[rounds.length - 1]);
    svg.setAttribute("aria-valuenow", rounds[at]);
    svg.setAttribute("aria-valuetext", words(curve, rounds[at]).replaceAll("\n", "; "));
    svg.addEventListener("pointermove", nearest);
    svg.addEventListener("pointerdown", nearest);
    svg.addEventListener("pointerleave", away);
    svg.addEventListener("focus", () => svg.matches(":focus-visible") && keyed(at));
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageUp: at + 10, PageDown: at - 10, Home: 0, End: rounds.length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      keyed(moves[event.key]);
    });
  }

  // ---- links to folded rows, and paper ---------------------------------------------------------------------------

  function unfold() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const around = target && target.closest("details");
    if (around) {
      around.open = true;
      target.scrollIntoView();
    }
  }
  addEventListener("hashchange", unfold);

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open], .runs)");
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });

  if (form) apply();
  unfold();
})();
