"use strict";
// The page's side of MCP Apps (revision 2026-01-26): JSON-RPC with the host over postMessage, and what the pages share.
// What comes from containers is a stranger's text: it reaches the document as text nodes only.
const app = (() => {
  const CALL_SECONDS = 120;
  const EMPTY = "The answer is empty.";
  const waiting = new Map();
  const context = {};
  const page = { failed: (error) => text("alert", error.message), plain: (words) => text("alert", words) };
  let lastId = 0;
  let canCall = false;
  let started = false;
  let ended = false;
  let onScreen = true;
  let shownBefore = false;
  let calls = 0;
  let lastAnswer = "";
  let size = "";
  let given = {};

  const element = (id) => document.getElementById(id);
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const list = (value) => (Array.isArray(value) ? value : []);

  // A node; children are nodes or text, nothing is ever parsed as HTML.
  function node(tag, attributes, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }

  function drawing(tag, attributes, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  }

  function fill(made, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function text(id, words) {
    const place = element(id);
    // what has not changed is not announced again
    if (place.textContent !== words) place.textContent = words;
    if (id !== "status") place.hidden = !words;
  }

  // What a button does, once at a time: it stays enabled, so that it keeps the focus.
  function button(id, act) {
    const pressed = element(id);
    pressed.addEventListener("click", async () => {
      if (pressed.getAttribute("aria-disabled")) return;
      pressed.setAttribute("aria-disabled", "true");
      try {
        await act();
      } catch (error) {
        text("alert", error.message);
      }
      pressed.removeAttribute("aria-disabled");
    });
  }

  // The host

  function send(message) {
    if (window.parent !== window) window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  }

  function request(method, params) {
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(id);
        reject(new Error(`The host did not answer within ${CALL_SECONDS} s.`));
      }, CALL_SECONDS * 1000);
      waiting.set(id, { resolve, reject, timer });
      send({ id, method, params });
    });
  }

  function settle(message) {
    const asked = waiting.get(message.id);
    if (!asked) return;
    waiting.delete(message.id);
    clearTimeout(asked.timer);
    if (isObject(message.error)) asked.reject(new Error(String(message.error.message || "The host refused the call.")));
    else asked.resolve(isObject(message.result) ? message.result : {});
  }

  function words(result) {
    return list(result.content)
      .filter((part) => isObject(part) && typeof part.text === "string")
      .map((part) => part.text)
      .join("\n");
  }

  // The data of an answer; undefined where a host passes on neither it nor the text that repeats it.
  function data(result) {
    if (isObject(result.structuredContent)) return result.structuredContent;
    try {
      const parsed = JSON.parse(words(result));
      return isObject(parsed) ? parsed : undefined;
    } catch {
      return undefined;
    }
  }

  function refusal(result) {
    const error = new Error(words(result) || "The call failed, and nothing says why.");
    const seconds = isObject(result._meta) ? Number(result._meta["mcp-docker/retry-after-seconds"]) : 0;
    error.seconds = seconds > 0 ? seconds : 0;
    error.code = isObject(result._meta) ? result._meta["mcp-docker/code"] : undefined;
    return error;
  }

  function receive(result) {
    if (result.isError) {
      text("status", "");
      page.failed(refusal(result));
      return;
    }
    const found = data(result);
    // some hosts repeat as a notification what a call of the page's own has answered
    if (shownBefore && (calls > 0 || JSON.stringify(found) === lastAnswer)) return;
    if (found) {
      accept(found);
      page.show(found);
    } else if (words(result)) page.plain(words(result));
    else text("alert", EMPTY);
  }

  function accept(found) {
    shownBefore = true;
    text("alert", "");
    text("note", isObject(found.truncated) ? `Left out: ${found.truncated.what}; ${found.truncated.rest}` : "");
  }

  // Call the page's own tool through the host. Rejects with what the refusal says.
  async function call(values) {
    if (!canCall || ended) throw new Error("This host does not let pages call tools.");
    calls += 1;
    try {
      const result = await request("tools/call", { name: page.tool, arguments: values });
      if (result.isError) throw refusal(result);
      const found = data(result);
      if (!found) throw new Error(words(result) || EMPTY);
      lastAnswer = JSON.stringify(found);
      accept(found);
      return found;
    } finally {
      calls -= 1;
    }
  }

  function adapt(changes) {
    if (!isObject(changes)) return;
    Object.assign(context, changes);
    const root = document.documentElement;
    root.style.colorScheme = context.theme === "dark" || context.theme === "light" ? context.theme : "";
    const styles = isObject(changes.styles) ? changes.styles : {};
    for (const [name, value] of Object.entries(isObject(styles.variables) ? styles.variables : {})) {
      if (name.startsWith("--") && typeof value === "string") root.style.setProperty(name, value);
    }
    const box = isObject(context.containerDimensions) ? context.containerDimensions : {};
    root.classList.toggle("filled", Number(box.height) > 0 || context.displayMode === "fullscreen");
    root.style.setProperty("--room", box.maxHeight > 0 ? `${Math.max(160, box.maxHeight - 130)}px` : "");
    for (const [side, pixels] of Object.entries(isObject(context.safeAreaInsets) ? context.safeAreaInsets : {})) {
      if (Number.isFinite(pixels)) root.style.setProperty(`--inset-${side}`, `${pixels}px`);
    }
    page.changed();
  }

  function hear(event) {
    const message = event.data;
    if (event.source !== window.parent || !isObject(message) || message.jsonrpc !== "2.0" || ended) return;
    const params = isObject(message.params) ? message.params : {};
    if (typeof message.method !== "string") settle(message);
    else if ("id" in message) answer(message);
    else if (message.method === "ui/notifications/tool-input") given = isObject(params.arguments) ? params.arguments : {};
    else if (message.method === "ui/notifications/tool-result") receive(params);
    else if (message.method === "ui/notifications/tool-cancelled") text("status", "The call was cancelled.");
    else if (message.method === "ui/notifications/host-context-changed") adapt(params);
  }

  function answer({ id, method }) {
    if (method === "ui/resource-teardown") {
      send({ id, result: {} });
      ended = true;
      page.changed();
    } else if (method === "ping") send({ id, result: {} });
    else send({ id, error: { code: -32601, message: `Method not found: ${method}` } });
  }

  function resized() {
    const height = Math.ceil(document.body.getBoundingClientRect().height);
    const now = { width: document.documentElement.clientWidth, height };
    if (!started || ended || JSON.stringify(now) === size) return;
    size = JSON.stringify(now);
    send({ method: "ui/notifications/size-changed", params: now });
  }

  // Begin: `tool` is the tool that the page shows. show(data) takes its answers, plain(words) those that came as text
  // alone, failed(error) a refusal; changed() hears that what the host allows or shows may be different now.
  async function open(parts) {
    Object.assign(page, parts);
    window.addEventListener("message", hear);
    document.addEventListener("visibilitychange", () => page.changed());
    new IntersectionObserver((entries) => {
      onScreen = entries[entries.length - 1].isIntersecting;
      page.changed();
    }).observe(document.documentElement);
    new ResizeObserver(resized).observe(document.body);
    let welcome;
    try {
      welcome = await request("ui/initialize", {
        appInfo: { name: "mcp-docker", version: "{{version}}" },
        appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
        protocolVersion: "2026-01-26",
      });
    } catch (error) {
      if (!shownBefore) text("alert", error.message);
      return;
    }
    canCall = !isObject(welcome.hostCapabilities) || "serverTools" in welcome.hostCapabilities;
    send({ method: "ui/notifications/initialized", params: {} });
    started = true;
    adapt(isObject(welcome.hostContext) ? welcome.hostContext : {});
    resized();
  }

  // How things are written

  function bytes(count) {
    if (!Number.isFinite(count)) return "";
    const unit = Math.min(4, count > 0 ? Math.max(0, Math.floor(Math.log2(count) / 10)) : 0);
    const value = count / 1024 ** unit;
    return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
  }

  // Making a format takes longer than using it ten thousand times.
  function clock(moment) {
    const wanted = `${context.locale} ${context.timeZone}`;
    if (clock.wanted !== wanted) {
      const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
      try {
        clock.format = new Intl.DateTimeFormat(context.locale, { ...options, timeZone: context.timeZone });
      } catch {
        clock.format = new Intl.DateTimeFormat(undefined, options);
      }
      clock.wanted = wanted;
    }
    return clock.format.format(moment);
  }

  // A table that sorts by its headings. Columns: title, value(row) to sort by, draw(cell, row) or the value as text,
  // a class, and `down` where the highest come first. Rows are kept by `id`, so that what has the focus keeps it.
  function table(place, { label, columns, sort, id }) {
    const by = { column: columns.find((column) => column.title === sort), down: false };
    const rows = new Map();
    const heads = columns.map((column) => {
      const button = node("button", { type: "button" }, column.title);
      button.addEventListener("click", () => {
        by.down = by.column === column ? !by.down : Boolean(column.down);
        by.column = column;
        order();
      });
      return node("th", { role: "columnheader", scope: "col", class: column.class || "" }, button);
    });
    const body = node("tbody", { role: "rowgroup" });
    // roles in words: as cards, the table is no longer displayed as one
    place.append(
      node("table", { role: "table", "aria-label": label },
        node("thead", { role: "rowgroup" }, node("tr", { role: "row" }, ...heads)), body),
    );

    function compare(one, other) {
      const [a, b] = [by.column.value(one), by.column.value(other)];
      const [noA, noB] = [a === undefined || a === "", b === undefined || b === ""];
      if (noA || noB) return noA - noB;
      const difference = typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
      return by.down ? -difference : difference;
    }

    function order() {
      heads.forEach((head, index) => {
        const direction = by.down ? "descending" : "ascending";
        head.setAttribute("aria-sort", columns[index] === by.column ? direction : "none");
      });
      const focused = document.activeElement;
      const sorted = [...rows.values()].sort((one, other) => compare(one.row, other.row));
      sorted.forEach(({ line }, index) => {
        if (body.children[index] !== line) body.insertBefore(line, body.children[index] || null);
      });
      if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    }

    return function fill(found) {
      const kept = new Set(found.map(id));
      for (const [key, { line }] of rows) {
        if (!kept.has(key)) {
          line.remove();
          rows.delete(key);
        }
      }
      for (const row of found) {
        let known = rows.get(id(row));
        if (!known) {
          const cells = columns.map((column) =>
            node("td", { role: "cell", class: column.class || "", "data-label": column.title }));
          known = { cells, line: node("tr", { role: "row" }, ...cells) };
          rows.set(id(row), known);
        }
        known.row = row;
        columns.forEach((column, index) => {
          const cell = known.cells[index];
          if (column.draw) column.draw(cell, row);
          else cell.textContent = column.value(row) ?? "";
        });
      }
      order();
    };
  }

  return {
    open, call, button, element, node, drawing, text, list, isObject, bytes, clock, table,
    given: () => given,
    canCall: () => canCall && !ended,
    isVisible: () => onScreen && document.visibilityState !== "hidden",
  };
})();
