// Live updates, keys and the search box. Everything works without it, but for these.
"use strict";
(() => {
  const body = document.body;
  const workspace = body.dataset.workspace;

  // Live: an event only says that something changed; the page then asks for itself again, as its reader.
  const lives = [...document.querySelectorAll("[data-live]")];
  if (workspace && window.EventSource && lives.length) {
    const lamp = document.getElementById("live");
    const stream = new EventSource("/live?w=" + encodeURIComponent(workspace));
    const late = new Set();
    let pressed = 0;
    // Somebody about to press: the pointer came to rest on a control a moment ago. A finger has no such moment.
    let aim = null;
    let aimed = 0;
    addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      aim = event.target.closest?.("a, button, summary, label, input, select, textarea") ?? null;
      aimed = Date.now();
    }, { capture: true, passive: true });
    addEventListener("pointerdown", () => { pressed = Infinity; }, true);
    ["pointerup", "pointercancel"].forEach((name) => addEventListener(name, () => { pressed = Date.now() + 400; }, true));
    const changed = (field) => field.matches("select")
      ? field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected))
      : field.matches("[type=checkbox], [type=radio]") ? field.checked !== field.defaultChecked : field.type !== "hidden" && field.value !== field.defaultValue;
    // Nothing is asked for that nobody looks at. Nothing moves under a hand: not while somebody presses, types, selects, has asked to confirm or has left something typed.
    const held = (part) => {
      const active = document.activeElement, selection = getSelection();
      return document.hidden || Date.now() < pressed || (aim && Date.now() - aimed < 1500 && part.contains(aim)) || part.querySelector("details.confirm[open], dialog[open]")
        || (part.contains(active) && active.matches("input, textarea, select"))
        || (!selection.isCollapsed && part.contains(selection.anchorNode))
        || [...part.querySelectorAll("input, textarea, select")].some(changed);
    };
    const later = (part) => { if (!late.has(part)) { late.add(part); part.dispatchEvent(new CustomEvent("watchbill:held", { bubbles: true })); } };
    const again = (part) => { if (held(part)) later(part); else { late.delete(part); htmx.trigger(part, "live"); } };
    const tell = (topic) => lives.forEach((part) => {
      if ((!topic || part.dataset.live.split(" ").includes(topic)) && !new URLSearchParams(location.search).has("before")) again(part);
    });
    setInterval(() => late.forEach(again), 1000);
    // What changes by time alone: who is on call, what is overdue.
    setInterval(() => tell(), 60000);
    const named = (part) => [...part.querySelectorAll("details > summary")].map((summary, at, all) =>
      [summary.parentElement, summary.textContent + "/" + all.slice(0, at).filter((other) => other.textContent === summary.textContent).length]);
    let open = [], focus = "";
    document.addEventListener("htmx:beforeSwap", (event) => {
      const part = event.detail.target;
      if (!lives.includes(part)) return;
      // The answer to somebody who was signed out meanwhile is another page.
      if (new URL(event.detail.xhr.responseURL || location.href).pathname !== new URL(part.getAttribute("hx-get"), location.href).pathname) { event.detail.shouldSwap = false; if (!held(part)) location.reload(); return; }
      if (held(part)) { event.detail.shouldSwap = false; later(part); return; }
      open = named(part).filter(([details]) => details.open).map(([, name]) => name);
      const active = part.contains(document.activeElement) && document.activeElement;
      focus = !active || active === part ? "" : active.id ? "#" + CSS.escape(active.id) : active.getAttribute("href") ? 'a[href="' + CSS.escape(active.getAttribute("href")) + '"]' : active.name ? '[name="' + CSS.escape(active.name) + '"][value="' + CSS.escape(active.value) + '"]' : "";
    });
    document.addEventListener("htmx:afterSwap", (event) => {
      if (!lives.includes(event.detail.target)) return;
      named(event.detail.target).forEach(([details, name]) => { if (open.includes(name)) details.open = true; });
      if (focus) event.detail.target.querySelector(focus)?.focus({ preventScroll: true });
    });
    let opened = false;
    stream.addEventListener("hello", () => { lamp.hidden = false; if (opened) tell(); opened = true; });
    ["ledger", "alerts"].forEach((topic) => stream.addEventListener(topic, () => tell(topic)));
    stream.onerror = () => { lamp.hidden = true; };
    addEventListener("pagehide", () => stream.close());
  }

  // Relative times go on by themselves.
  const steps = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];
  setInterval(() => document.querySelectorAll("time").forEach((time) => {
    if (!/ ago$|^in |just now/.test(time.textContent)) return;
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const size = Math.abs(seconds);
    if (size < 5) { time.textContent = "just now"; return; }
    const step = steps.find((each) => size < each[0]);
    const text = Math.floor(size / step[1]) + " " + step[2];
    time.textContent = seconds > 0 ? text + " ago" : "in " + text;
  }), 5000);

  // Keys.
  const find = document.getElementById("find");
  const keys = document.getElementById("keys");
  let waiting = 0;
  document.querySelectorAll(".keys-open").forEach((button) => button.addEventListener("click", () => keys.showModal()));
  const move = (by) => {
    const rows = [...document.querySelectorAll("main a.row, main .entry-time, main [data-row], .hits a.row")].filter((row) => row.offsetParent);
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement.closest("[data-row]") || document.activeElement);
    rows[Math.max(0, Math.min(rows.length - 1, at + by))].focus();
  };
  // In a row with buttons a key presses its button; the row that comes back gives the focus on to the next one.
  const press = (key) => {
    const row = document.activeElement.closest("[data-row]");
    const button = row && row.querySelector('[data-press="' + CSS.escape(key) + '"]');
    if (button) button.click();
    return Boolean(button);
  };
  document.addEventListener("htmx:afterSwap", (event) => {
    const row = document.getElementById(event.detail.target.id);
    if (!row || !row.matches("[data-row]")) return;
    const rows = [...document.querySelectorAll("[data-row]")];
    (rows[rows.indexOf(row) + 1] || row).focus({ preventScroll: false });
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if ((event.ctrlKey || event.metaKey) && event.key === "k" && find) { event.preventDefault(); find.focus(); find.select(); return; }
    if (event.key === "Escape") { const hits = document.getElementById("hits"); if (hits) hits.replaceChildren(); document.querySelectorAll("details.switcher[open]").forEach((each) => { each.open = false; }); if (typing) event.target.blur(); return; }
    if (event.key === "ArrowDown" && event.target === find) { event.preventDefault(); move(1); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && find) { event.preventDefault(); find.focus(); }
    else if (event.key === "?" && keys) keys.showModal();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (Date.now() - waiting >= 1200 && press(event.key)) event.preventDefault();
    else if (Date.now() - waiting >= 1200 && document.querySelector('[data-press-anywhere="' + CSS.escape(event.key) + '"]')) { event.preventDefault(); document.querySelector('[data-press-anywhere="' + CSS.escape(event.key) + '"]').click(); }
    else if (event.key === "g") { waiting = Date.now(); return; }
    else if (Date.now() - waiting < 1200) { const link = document.querySelector('a[data-key="' + CSS.escape(event.key) + '"]'); if (link) link.click(); }
    waiting = 0;
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.switcher[open], details.confirm[open]").forEach((each) => { if (!each.contains(event.target)) each.open = false; });
    const hits = document.getElementById("hits");
    if (hits && !event.target.closest(".topbar")) hits.replaceChildren();
  });

  // Notifications of this browser: asked for only where somebody presses the button.
  const encodedKey = (form) => Uint8Array.from(
    atob(form.dataset.pushKey.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  const subscribe = async (form, status) => {
    status.textContent = "";
    try {
      if (await Notification.requestPermission() !== "granted") {
        status.textContent = "This browser does not allow notifications here: change it beside the address, then try again.";
        return;
      }
      const worker = await navigator.serviceWorker.register("/service-worker.js");
      await navigator.serviceWorker.ready;
      const existing = await worker.pushManager.getSubscription();
      if (existing) await existing.unsubscribe();
      const made = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: encodedKey(form) });
      form.elements.subscription.value = JSON.stringify(made);
      form.submit();
    } catch (error) {
      status.textContent = "The browser could not subscribe: " + error.message;
    }
  };
  // The form is hidden until a script can serve it, and the page may bring a new one whenever it refreshes itself.
  const showPushForm = () => {
    const form = document.getElementById("push-form");
    if (!form) return;
    form.hidden = false;
    if ("serviceWorker" in navigator && "PushManager" in window) return;
    form.querySelector("button").disabled = true;
    form.querySelector("[data-push-says]").textContent = window.isSecureContext
      ? "This browser knows no notifications; on an iPhone, add Watchbill to the home screen first."
      : "Browsers allow notifications only over HTTPS.";
  };
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "push-form") return;
    event.preventDefault();
    subscribe(event.target, event.target.querySelector("[data-push-says]"));
  });
  document.addEventListener("htmx:afterSwap", showPushForm);
  showPushForm();
})();
