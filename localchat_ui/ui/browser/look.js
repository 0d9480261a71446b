// The theme and the size of the text, as somebody chose them on this device. Both apply before the page is drawn.
localchat.look = (() => {
  const { _ } = localchat.page;
  const root = document.documentElement;
  const kept = (name) => localStorage.getItem("localchat." + name) ?? "";

  function apply() {
    root.dataset.theme = kept("theme");
    root.dataset.size = kept("size");
    window.setDark?.({ light: false, dark: true }[kept("theme")] ?? null);
  }

  // The server makes the page in another language. What stands in the box is kept as a draft.
  function speak({ name, value }) {
    const path = root.dataset.root || "/";
    document.cookie = `${name}=${value}; path=${path}; max-age=${value ? 31536000 : 0}; samesite=lax`;
    location.reload();
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
      if (!target.checked) localchat.page.complain(_("The browser does not allow notifications here."));
    }
    localStorage.setItem("localchat." + target.name, target.checked ? target.value : "");
    apply();
  });
  apply();

  return { apply, show, speak };
})();
