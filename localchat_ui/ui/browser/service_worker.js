// Whoever opens the app while the program does not run is told so. Nothing else is kept: there is no chat without it.
addEventListener("install", (event) => {
  event.waitUntil(caches.open("offline").then((cache) => cache.add("offline")));
});

addEventListener("fetch", (event) => {
  if (event.request.mode !== "navigate") return;
  event.respondWith(fetch(event.request).catch(() => caches.match("offline", { ignoreVary: true })));
});
