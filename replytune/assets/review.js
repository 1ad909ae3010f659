function render({ model, el }) {
  let root = null, stopped = false, byMouse = false, clickedAt = null;
  // on a slow machine the editor's box comes some frames after the news that there is one
  const focus = (tries = 120) => {
    const editing = model.get("editing"), box = editing && root.querySelector("textarea");
    (box || root).focus({ preventScroll: true });
    if (editing && document.activeElement !== box && tries) requestAnimationFrame(() => focus(tries - 1));
  };
  const name = (event) => {
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code || "");
    if (digit && !event.shiftKey) return digit[1];
    const foreign = event.code && event.code.startsWith("Key") && event.key > "~";
    const letter = foreign ? event.code.slice(3) : event.key;
    return letter.length === 1 ? letter.toUpperCase() : letter;
  };
  const onKey = (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    const typing = event.target.closest("textarea, input, select");
    let key = name(event);
    if (typing && typing.tagName === "SELECT") {
      byMouse = false;
      if (key === "Escape" || key === "Enter") { event.preventDefault(); root.focus(); }
      return;
    }
    if (key === "Enter" && (event.ctrlKey || event.metaKey)) key = "Ctrl+Enter";
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing && key !== "Ctrl+Enter" && key !== "Escape") return;
    if (!model.get("heard").includes(key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat) return;
    const shown = root.querySelector("[data-shown]");
    const box = root.querySelector("textarea");
    model.send({ key, shown: shown ? shown.dataset.shown : null, text: box ? box.value : null });
  };
  const onClick = (event) => {
    const button = event.target.closest("button");
    if (button && !button.classList.contains("rt-again")) {
      const unanswered = clickedAt === model.get("turn");
      clickedAt = model.get("turn");
      if (unanswered || event.detail > 1) {
        event.preventDefault();
        event.stopPropagation();
      }
    }
    if (!getSelection().isCollapsed) return;
    if (!event.target.closest("textarea, input, select, summary")) setTimeout(() => focus(), 0);
  };
  const keep = () => {
    const inside = root.querySelectorAll("button, select, textarea, summary");
    for (const node of [root, ...inside]) node.setAttribute("data-lm-suppress-shortcuts", "true");
  };
  const stop = (event) => { if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation(); };
  const onDown = (event) => { byMouse = Boolean(event.target.closest("select")); };
  const onChange = (event) => { if (byMouse && event.target.closest("select")) setTimeout(() => focus(), 0); };
  const attach = () => {
    if (stopped) return;
    root = el.closest(".replytune-review");
    if (!root) { requestAnimationFrame(attach); return; }
    root.tabIndex = 0;
    root.dataset.turn = model.get("turn");
    keep();
    root.addEventListener("keydown", onKey, true);
    root.addEventListener("keydown", stop);
    root.addEventListener("click", onClick, true);
    root.addEventListener("mousedown", onDown, true);
    root.addEventListener("change", onChange);
  };
  const onTurn = () => setTimeout(() => {
    const at = document.activeElement;
    if (root) keep();
    if (root) root.dataset.turn = model.get("turn");  // for who watches: the last answer is taken
    if (root && (at === document.body || (root.contains(at) && at.tagName !== "SELECT"))) focus();
  }, 0);
  attach();
  model.on("change:turn", onTurn);
  model.on("change:editing", onTurn);
  return () => {
    stopped = true;
    model.off("change:turn", onTurn);
    model.off("change:editing", onTurn);
    if (root) {
      root.removeEventListener("keydown", onKey, true);
      root.removeEventListener("keydown", stop);
      root.removeEventListener("click", onClick, true);
      root.removeEventListener("mousedown", onDown, true);
      root.removeEventListener("change", onChange);
    }
  };
}
export default { render };
