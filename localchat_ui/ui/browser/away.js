// A reply that ends while nobody looks at this tab: the title tells, and a notification where it is wanted.
localchat.away = (() => {
  const { _ } = localchat.page;
  const MARK = "● ";
  const NOTIFIES_AFTER = 5000;

  let begunAt = Infinity;
  function busy(isBusy) {
    if (isBusy) begunAt = performance.now();
    else if (document.hidden && begunAt < Infinity) tell(performance.now() - begunAt > NOTIFIES_AFTER);
    if (!isBusy) begunAt = Infinity;
  }

  function tell(tookLong) {
    const title = document.title;
    document.title = MARK + title;
    if (!tookLong || !localStorage.getItem("localchat.notify") || window.Notification?.permission !== "granted") return;
    const notification = new Notification(_("The reply is ready"), { body: title, tag: location.pathname });
    notification.onclick = () => { window.focus(); notification.close(); };
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && document.title.startsWith(MARK)) document.title = document.title.slice(MARK.length);
  });

  return { busy };
})();
