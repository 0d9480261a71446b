// Follows the text while the reader is at the bottom; any move upwards lets go.
localchat.scrolling = (() => {
  let pinned = true;
  let scroller = null;
  let fromEnd = null;
  function follow(element) {
    scroller = element;
    let last = 0;
    scroller.addEventListener("scroll", () => {
      const distance = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
      if (scroller.scrollTop < last - 1) pinned = false;
      if (distance < 24) pinned = true;
      last = scroller.scrollTop;
      tellDistance();
    }, { passive: true });
    scroller.addEventListener("wheel", (event) => { if (event.deltaY < 0) pinned = false; }, { passive: true });
    // What somebody unfolds stays under their eyes.
    scroller.addEventListener("click", (event) => { if (event.target.closest("summary, .preview-code")) pinned = false; });
    const settle = () => {
      if (pinned) toEnd();
      else if (fromEnd !== null) scroller.scrollTop = scroller.scrollHeight - fromEnd;
      tellDistance();
    };
    new ResizeObserver(settle).observe(scroller.firstElementChild);
    new ResizeObserver(settle).observe(scroller);
    // Coming near the top brings the messages above; what is being read stays where it is meanwhile.
    const earlier = document.querySelector(".earlier");
    if (!earlier) return;
    earlier.addEventListener("click", () => {
      fromEnd = scroller.scrollHeight - scroller.scrollTop;
      setTimeout(() => (fromEnd = null), 1000);
    });
    new IntersectionObserver((seen) => {
      if (seen.at(-1).isIntersecting && !pinned) earlier.click();
    }, { root: scroller, rootMargin: "400px 0px 0px" }).observe(earlier);
  }

  function tellDistance() {
    const distance = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
    document.body.dataset.away = !pinned && distance > 120;
  }

  function toEnd() {
    pinned = true;
    scroller?.scrollTo({ top: scroller.scrollHeight, behavior: "instant" });
  }

  // Shows a message of the conversation that was just opened, if it is on the page; a search has found it.
  function reach(id, words, patience = 20) {
    const message = document.getElementById("message-" + id);
    if (!message && patience) return void setTimeout(() => reach(id, words, patience - 1), 50);
    if (!message) return;
    localchat.found.mark(words);
    pinned = false;
    message.scrollIntoView({ block: "start" });
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const soft = getComputedStyle(document.body).getPropertyValue("--accent-soft");
    message.animate([{ backgroundColor: soft, boxShadow: `0 0 0 0.5rem ${soft}` }, {}], { duration: 1600, easing: "ease-in" });
  }

  return { follow, toEnd, reach };
})();
