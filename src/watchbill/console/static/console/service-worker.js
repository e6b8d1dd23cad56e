// Shows pages as notifications, and acknowledges from them. It keeps nothing, and fetches nothing but the answer.
"use strict";
const told = (event) => { try { return event.data ? event.data.json() : {}; } catch { return {}; } };

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  const page = told(event);
  event.waitUntil(self.registration.showNotification(page.title || "Somebody needs you", {
    body: page.body || "Open Watchbill to see why.",
    tag: page.id || undefined,
    silent: Boolean(page.silent),
    renotify: Boolean(page.id) && !page.silent,
    requireInteraction: page.urgency === "high",
    data: { url: page.url || "/", reply: page.reply || "", acknowledge: page.acknowledge || "", title: page.title || "" },
    actions: page.acknowledge ? [{ action: "acknowledge", title: "Acknowledge" }, { action: "open", title: "Open" }] : [],
  }));
});

// Only this hub's own addresses are opened or answered, whatever a message says.
const own = (address) => { try { const url = new URL(address, self.location.origin); return url.origin === self.location.origin ? url.href : ""; } catch { return ""; } };

const acknowledge = async (data) => {
  const say = (title, body) => self.registration.showNotification(title, { body, tag: "watchbill-answer", data: { url: data.reply || data.url } });
  try {
    const answer = await fetch(own(data.acknowledge), { method: "POST", credentials: "omit", headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const found = await answer.json();
    await say(found.said, data.title);
  } catch {
    await say("It was not acknowledged", "Tap to try again: " + data.title);
  }
};

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const data = event.notification.data || {};
  if (event.action === "acknowledge" && own(data.acknowledge)) { event.waitUntil(acknowledge(data)); return; }
  const where = own(data.reply) || own(data.url) || self.location.origin;
  event.waitUntil(self.clients.openWindow(where));
});
