// Where the keyboard is.
localchat.focus = (() => {
  const { box, touch } = localchat.page;

  // Menus give the focus back to where it was while they close; this comes after.
  const later = (element) => setTimeout(() => element.focus(), 200);

  // Focus whose element vanishes goes to the box instead of nowhere.
  let focused = null;
  function keep() {
    document.addEventListener("focusin", (event) => (focused = event.target));
    // Whether an element was left or vanished shows only after the event.
    document.addEventListener("focusout", ({ target }) => setTimeout(() => {
      if (focused === target && target.checkVisibility() && document.activeElement !== target) focused = null;
    }));
    new MutationObserver(() => {
      if (!focused || focused.checkVisibility()) return;
      focused = null;
      if (!touch()) box()?.focus();
    }).observe(document.body, { subtree: true, childList: true, attributeFilter: ["class", "style"] });
  }

  // The arrow keys, Home and End move along a list of elements.
  function walk(event, elements) {
    const at = elements.indexOf(document.activeElement);
    const last = elements.length - 1;
    const isText = event.target.matches("input");
    const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (to === undefined || last < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    if (isText && ["Home", "End"].includes(event.key)) return;
    event.preventDefault();
    elements[to].focus();
  }

  // The field that wants the focus, if any, is marked by Quasar; otherwise the browser chooses.
  function showDialog(dialog) {
    dialog.showModal();
    dialog.querySelector("[data-autofocus]")?.select();
  }

  return { later, keep, walk, showDialog };
})();
