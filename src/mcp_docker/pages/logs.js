"use strict";
{
  const { element, list, node, text } = app;
  const MOST = 10_000; // lines that are kept, the newest
  const NEWER = 1_000; // lines that are asked for at once
  let entries = [];
  let container;
  let since;

  // A time of the engine's, which has nine digits, in the host's zone; what is no time is shown as it is.
  function moment(value) {
    const at = new Date(value.replace(/(\.\d{3})\d+/, "$1"));
    const short = Number.isNaN(at.getTime()) ? value : `${app.clock(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
    return node("time", { title: value }, short);
  }

  function entry(line) {
    const words = String(line.text ?? "");
    const item = node("li", { class: line.stream === "stderr" ? "stderr" : "stdout" });
    if (line.time) item.append(moment(String(line.time)));
    if (line.stream === "stderr") item.append(node("span", { class: "tag" }, "stderr"));
    const place = node("span", {}, words);
    item.append(place);
    return { words, folded: words.toLowerCase(), stream: line.stream, item, place, marked: false };
  }

  // Where a letter's small form is longer than itself, places in both texts differ, and nothing is marked.
  function mark(one, wanted) {
    if (!one.marked && !wanted) return;
    one.marked = Boolean(wanted);
    const parts = [];
    let from = 0;
    if (wanted && one.folded.length === one.words.length) {
      for (let at = one.folded.indexOf(wanted); at >= 0; at = one.folded.indexOf(wanted, from)) {
        parts.push(one.words.slice(from, at), node("mark", {}, one.words.slice(at, at + wanted.length)));
        from = at + wanted.length;
      }
    }
    one.place.replaceChildren(...parts, one.words.slice(from));
  }

  function filter() {
    const wanted = element("search").value.toLowerCase();
    const stream = element("stream").value;
    let shown = 0;
    for (const one of entries) {
      const matches = (!stream || one.stream === stream) && one.folded.includes(wanted);
      one.item.hidden = !matches;
      if (matches) {
        mark(one, wanted);
        shown += 1;
      }
    }
    element("room").hidden = !shown;
    text("empty", shown ? "" : entries.length ? "No line matches." : "There are no lines.");
    return wanted || stream ? `${shown} of ${entries.length} lines shown` : `${shown} lines shown`;
  }

  function add(found) {
    const room = element("room");
    const atEnd = room.scrollHeight - room.scrollTop - room.clientHeight < 24;
    const made = list(found.lines).filter(app.isObject).map(entry);
    entries.push(...made);
    element("lines").append(...made.map((one) => one.item));
    const dropped = entries.splice(0, Math.max(0, entries.length - MOST));
    for (const one of dropped) one.item.remove();
    since = found.next_since;
    const errors = entries.filter((one) => one.stream === "stderr").length;
    text("summary", `${entries.length} lines${errors ? `, ${errors} of stderr` : ""}`);
    element("newer").hidden = !app.canCall() || !since;
    const shown = filter();
    if (atEnd) room.scrollTop = room.scrollHeight;
    return { count: made.length, dropped: dropped.length, shown };
  }

  function show(found) {
    entries = [];
    element("lines").replaceChildren();
    container = found.container;
    element("name").textContent = container || "";
    text("earlier", typeof found.note === "string" ? `${found.note}.` : "");
    const { shown } = add(found);
    element("room").scrollTop = element("room").scrollHeight;
    text("status", shown);
  }

  async function newer() {
    const { until: _until, follow: _follow, seconds: _seconds, ...same } = app.given();
    const tail = Math.max(NEWER, Number(same.tail) || 0);
    const found = await app.call({ container_id: container, ...same, since, tail });
    const { count, dropped } = add(found);
    const news = count ? `${count} newer ${count === 1 ? "line" : "lines"}` : "No newer lines";
    const skipped = typeof found.note === "string" ? `; ${found.note}` : "";
    text("status", `${news}, as of ${app.clock(new Date())}${skipped}${dropped ? `; the oldest ${dropped} left out` : ""}`);
  }

  for (const id of ["search", "stream"]) element(id).addEventListener("input", () => text("status", filter()));
  element("wrap").addEventListener("change", () => {
    element("lines").classList.toggle("unwrapped", !element("wrap").checked);
  });
  app.button("newer", newer);
  app.open({
    tool: "docker_container_logs",
    show,
    plain: (words) => show({ lines: words.split("\n").map((line) => ({ text: line })) }),
    changed: () => {
      element("newer").hidden = !app.canCall() || !since;
    },
  });
}
