"use strict";
// Filters and pages for the list of replies. Without this script the list is whole, in its order.
(() => {
  const list = document.getElementById("cards");
  if (!list) return;
  const tools = document.getElementById("tools"), pagers = [...document.querySelectorAll(".pager")];
  const said = document.getElementById("shown"), cards = [...list.children], size = Number(list.dataset.page);
  let start = 0;

  const chosen = (name) => [...tools.querySelectorAll(`input[name=${name}]:checked`)].map((input) => input.value);
  const fits = (card) => {
    const [outcome] = chosen("outcome"), marks = card.dataset.marks.split(" ");
    return (outcome === "all" || card.dataset.outcome === outcome) && chosen("mark").every((mark) => marks.includes(mark));
  };

  function show(from) {
    const [order] = chosen("order"), turned = order === "best" ? -1 : 1;
    const place = (card) => (order === "given" ? Number(card.dataset.place) : turned * Number(card.dataset.rank));
    const found = cards.filter(fits).sort((one, other) => place(one) - place(other));
    const last = Math.max(0, Math.ceil(found.length / size) - 1) * size;
    start = Math.min(Math.max(0, from), last);
    cards.forEach((card) => { card.hidden = true; });
    found.forEach((card) => list.append(card));
    found.slice(start, start + size).forEach((card) => { card.hidden = false; });
    const end = Math.min(start + size, found.length);
    said.textContent = found.length ? `${start + 1} to ${end} of ${found.length}` : "None of the comparisons is like that.";
    for (const pager of pagers) {
      pager.hidden = found.length <= size;  // one page needs no turning
      pager.querySelector("[data-step='-1']").setAttribute("aria-disabled", String(start === 0));
      pager.querySelector("[data-step='1']").setAttribute("aria-disabled", String(start >= last));
      pager.querySelector(".place").textContent = `Page ${start / size + 1} of ${last / size + 1}`;
    }
  }

  const step = (by) => show(start + by * size);
  tools.addEventListener("change", () => show(0));
  for (const pager of pagers) {
    pager.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button || button.getAttribute("aria-disabled") === "true") return;
      step(Number(button.dataset.step));
      if (pager !== pagers[0]) list.scrollIntoView();
    });
    pager.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      step(by);
    });
  }
  tools.hidden = false;
  show(0);

  const unfolded = [];
  window.addEventListener("beforeprint", () => {
    const folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((each) => { each.open = true; });
    unfolded.push(...folded);
  });
  window.addEventListener("afterprint", () => { unfolded.splice(0).forEach((each) => { each.open = false; }); });
})();
