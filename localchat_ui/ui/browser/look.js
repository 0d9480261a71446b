// The theme and the size of the text, as somebody chose them on this device. Both apply before the page is drawn.
localchat.look = (() => {
  const root = document.documentElement;
  const kept = (name) => localStorage.getItem("localchat." + name) ?? "";

  function apply() {
    root.dataset.theme = kept("theme");
    root.dataset.size = kept("size");
    window.setDark?.({ light: false, dark: true }[kept("theme")] ?? null);
  }

  // Marks in the settings what was chosen.
  function show() {
    for (const input of document.querySelectorAll(".look input")) input.checked = input.value === kept(input.name);
  }

  document.addEventListener("change", async ({ target }) => {
    if (!target.closest(".look")) return;
    // Notifications need the browser's permission, which it asks for where a person wants them.
    if (target.type === "checkbox" && target.checked) {
      target.checked = (await window.Notification?.requestPermission()) === "granted";
      if (!target.checked) localchat.page.complain("The browser does not allow notifications here.");
    }
    localStorage.setItem("localchat." + target.name, target.checked ? target.value : "");
    apply();
  });
  apply();

  return { apply, show };
})();
