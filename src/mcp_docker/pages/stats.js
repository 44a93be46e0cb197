"use strict";
{
  const { bytes, drawing, element, list, node, text } = app;
  const HISTORY = 300; // samples that are kept of each container
  const DRAWN = 12; // lines that can still be told apart
  const GONE = 24; // containers that are remembered when they are gone
  const EVERY = 2; // seconds from an answer to the next call
  const LONGEST = 60; // seconds that a failing call is put off at most
  const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [150, 58, 8, 8, 20];
  // where a container has no colour: not yet, gone, switched off by hand
  const [NONE, GREY, OFF] = [-1, -2, -3];
  const all = new Map();
  const poll = { begun: false, paused: false, calling: false, failures: 0, last: 0, notBefore: 0, timer: 0 };
  let broken = true; // the next sample begins a new line
  let pointed = null;

  const percent = (value) => (Number.isFinite(value) ? `${value.toFixed(value < 10 ? 2 : 1)} %` : "");
  const known = (value) => (Number.isFinite(value) ? value : undefined);
  const highest = (one, what) => one.samples.reduce((most, sample) => Math.max(most, sample[what] ?? 0), 0);

  // What is known of each container

  function take(found) {
    const at = Date.now();
    const seen = new Set();
    for (const usage of list(found.containers).filter(app.isObject)) {
      const id = usage.id || usage.name;
      if (!id || seen.has(id)) continue;
      seen.add(id);
      if (!all.has(id)) all.set(id, { id, samples: [], slot: NONE });
      const one = all.get(id);
      const [cpu, memory] = [known(usage.cpu_percent), known(usage.memory_bytes)];
      one.samples.push({ at, cpu, memory, first: broken || one.gone !== false });
      if (one.samples.length > HISTORY) one.samples.shift();
      Object.assign(one, { usage, name: String(usage.name || id), gone: false });
    }
    // of those that were left out nobody knows
    if (!found.truncated) leave((one) => !seen.has(one.id));
    broken = false;
    assign();
    text("when", `${app.canCall() && !poll.paused ? "live" : "measured"}, ${app.clock(new Date())}`);
  }

  function leave(isGone) {
    const left = [...all.values()].filter((one) => !one.gone && isGone(one));
    for (const one of left) one.gone = true;
    if (left.length) text("status", `Gone: ${left.map((one) => one.name).join(", ")}`);
    const gone = [...all.values()].filter((one) => one.gone);
    const last = (one) => one.samples[one.samples.length - 1].at;
    const oldest = Math.min(...[...all.values()].filter((one) => !one.gone).map((one) => one.samples[0].at));
    gone.sort((one, other) => last(other) - last(one));
    gone.forEach((one, index) => {
      if (index >= GONE || (oldest < Infinity && last(one) < oldest)) all.delete(one.id);
    });
  }

  // A colour for each container while there are some: the busiest first, and one that has a colour keeps it. What is
  // gone is grey and needs none.
  function assign() {
    for (const one of all.values()) if (one.gone && one.slot >= 0) one.slot = GREY;
    const waiting = [...all.values()].filter((one) => !one.gone && (one.slot === NONE || one.slot === GREY));
    waiting.sort((one, other) => (other.usage.cpu_percent || 0) - (one.usage.cpu_percent || 0));
    for (const one of waiting) {
      const slot = free();
      if (slot === undefined) break;
      one.slot = slot;
    }
  }

  function free() {
    const used = new Set([...all.values()].map((one) => one.slot));
    return [...Array(DRAWN).keys()].find((slot) => !used.has(slot));
  }

  const isDrawn = (one) => (one.gone ? one.slot === GREY : one.slot >= 0);
  const colour = (one) => (one.gone ? "" : `color: var(--line-${one.slot})`);
  const style = (one) => (one.gone ? "gone" : one.slot >= DRAWN / 2 ? "second" : "");

  function toggle(one) {
    if (isDrawn(one)) one.slot = OFF;
    else if (one.gone) one.slot = GREY;
    else if (free() === undefined) text("status", `At most ${DRAWN} lines are drawn; switch another off first.`);
    else one.slot = free();
    draw();
  }

  // Charts

  // Some three steps of a round size up to the top.
  function percentSteps(most) {
    const rough = Math.max(most, 3) / 3;
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
  }

  const byteSteps = (most) => 2 ** Math.ceil(Math.log2(Math.max(most, 3 * 2 ** 20) / 3));

  function chart(place, { title, what, steps, write }) {
    const picture = drawing("svg", { role: "img" });
    const readout = node("div", { class: "readout", "aria-hidden": "true" });
    let looked; // where the pointer is
    place.append(picture, readout);
    picture.addEventListener("pointermove", (event) => {
      looked = event.offsetX;
      draw();
    });
    picture.addEventListener("pointerleave", () => {
      looked = undefined;
      draw();
    });
    return draw;

    function draw() {
      const drawn = [...all.values()].filter(isDrawn);
      const apart = drawn.includes(pointed) ? pointed : null;
      const width = Math.max(200, place.clientWidth);
      const times = drawn.flatMap((one) => [one.samples[0].at, one.samples[one.samples.length - 1].at]);
      const to = Math.max(...times, 0);
      const from = Math.min(...times, to - 60_000);
      const step = steps(Math.max(0, ...drawn.map((one) => highest(one, what))));
      const top = step * 3;
      const x = (at) => (LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT)).toFixed(1);
      const y = (value) => (HEIGHT - BOTTOM - (Math.min(value, top) / top) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
      const parts = [];
      for (let value = 0; value <= top; value += step) {
        parts.push(drawing("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
        parts.push(drawing("text", { x: LEFT - 6, y: Number(y(value)) + 4, "text-anchor": "end" }, write(value)));
      }
      for (const [at, anchor] of [[from, "start"], [(from + to) / 2, "middle"], [to, "end"]]) {
        if (to) parts.push(drawing("text", { x: x(at), y: HEIGHT - 5, "text-anchor": anchor }, app.clock(new Date(at))));
      }
      // those that are there are drawn over those that are gone
      for (const one of [...drawn].sort((a, b) => b.gone - a.gone)) parts.push(line(one, apart, x, y));
      readout.hidden = looked === undefined || !to;
      if (!readout.hidden) {
        const share = Math.min(1, Math.max(0, (looked - LEFT) / (width - LEFT - RIGHT)));
        const at = from + share * (to - from);
        parts.push(drawing("line", { class: "grid", x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
        read(drawn, at);
        readout.style.insetInline = share < 0.5 ? `${Number(x(at)) + 8}px auto` : `auto ${width - x(at) + 8}px`;
      }
      picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      picture.setAttribute("aria-label", summary(drawn, from, to));
      picture.replaceChildren(...parts);
    }

    // What the lines say at a moment.
    function read(drawn, at) {
      const values = drawn.map((one) => {
        const near = one.samples.reduce((best, sample) =>
          Math.abs(sample.at - at) < Math.abs(best.at - at) ? sample : best);
        return [one, Math.abs(near.at - at) < 10_000 ? near[what] : undefined];
      }).filter(([, value]) => value !== undefined).sort((a, b) => b[1] - a[1]);
      const rows = values.slice(0, 6).map(([one, value]) =>
        node("div", {}, node("span", { class: `swatch ${style(one)}`, style: colour(one) }), `${write(value)} ${one.name}`));
      readout.replaceChildren(app.clock(new Date(at)), ...rows);
    }

    function line(one, apart, x, y) {
      let path = "";
      let joined = false;
      let last;
      for (const sample of one.samples) {
        if (sample[what] === undefined) {
          joined = false;
          continue;
        }
        const place = `${x(sample.at)} ${y(sample[what])}`;
        // a sample between gaps is a dot
        path += joined && !sample.first ? `L${place}` : `M${place}h0`;
        joined = true;
        last = sample;
      }
      const aside = apart && apart !== one ? "aside" : "";
      const group = drawing("g", { class: `${one.gone ? "gone" : ""} ${aside}`, style: colour(one) });
      if (!last) return group;
      group.append(drawing("path", { class: `line ${style(one)}`, d: path }));
      group.append(drawing("circle", { class: "end", cx: x(last.at), cy: y(last[what]), r: 2.5 }));
      return group;
    }

    function summary(drawn, from, to) {
      const minutes = Math.max(1, Math.round((to - from) / 60_000));
      const now = drawn.filter((one) => !one.gone).map((one) => [one, one.samples[one.samples.length - 1][what] ?? 0]);
      now.sort((a, b) => b[1] - a[1]);
      const said = now.slice(0, 5).map(([one, value]) => `${one.name} ${write(value)}, at most ${write(highest(one, what))}`);
      const more = now.length > 5 ? `; ${now.length - 5} more in the table` : "";
      return `${title} over ${minutes} min: ${said.join("; ") || "nothing"}${more}`;
    }
  }

  const charts = [
    chart(element("cpu"), { title: "CPU", what: "cpu", steps: percentSteps, write: (value) => `${Number(value.toFixed(2))} %` }),
    chart(element("memory"), { title: "Memory", what: "memory", steps: byteSteps, write: bytes }),
  ];

  // The table, which is the charts' legend too

  function legend(cell, one) {
    if (!cell.firstChild) {
      const button = node("button", { type: "button", class: "toggle" }, node("span", { class: "swatch" }), node("span", {}));
      const point = (to) => () => {
        pointed = to;
        redraw();
      };
      button.addEventListener("click", () => toggle(one));
      for (const began of ["focus", "pointerenter"]) button.addEventListener(began, point(one));
      for (const over of ["blur", "pointerleave"]) button.addEventListener(over, point(null));
      cell.append(button);
    }
    const button = cell.firstChild;
    button.setAttribute("aria-pressed", String(isDrawn(one)));
    button.firstChild.className = `swatch ${style(one)}`;
    button.firstChild.style = colour(one);
    button.lastChild.textContent = one.gone ? `${one.name} (gone)` : one.name;
  }

  const pair = (one, other) => (one === undefined && other === undefined ? "" : `${bytes(one ?? 0)} / ${bytes(other ?? 0)}`);
  const used = (title, value, write, more = "") => ({
    title,
    class: `number ${more}`,
    down: true,
    value: (one) => known(value(one.usage, one)),
    draw: (cell, one) => {
      cell.textContent = write(value(one.usage, one), one.usage);
      cell.classList.toggle("quiet", one.gone);
    },
  });
  const fill = app.table(element("rows"), {
    label: "Use by container",
    sort: "Container",
    id: (one) => one.id,
    columns: [
      { title: "Container", class: "long", value: (one) => one.name, draw: legend },
      used("CPU", (usage) => usage.cpu_percent, percent),
      used("Highest", (_usage, one) => highest(one, "cpu"), percent),
      used("Memory", (usage) => usage.memory_bytes, bytes),
      used("Of limit", (usage) => usage.memory_percent, percent),
      used("Net in / out", (usage) => usage.net_received_bytes,
        (_value, usage) => pair(usage.net_received_bytes, usage.net_sent_bytes)),
      used("Disk in / out", (usage) => usage.block_read_bytes,
        (_value, usage) => pair(usage.block_read_bytes, usage.block_written_bytes), "wide"),
      used("PIDs", (usage) => usage.pids, (value) => value ?? "", "wide"),
    ],
  });

  const redraw = () => charts.forEach((chart) => chart());

  function draw() {
    element("rows").hidden = element("charts").hidden = !all.size;
    fill([...all.values()]);
    redraw();
  }

  // Asking for more: never two calls at once, and none while nobody looks

  function plan() {
    clearTimeout(poll.timer);
    element("pause").hidden = !app.canCall() || !poll.begun;
    element("now").hidden = element("pause").hidden || !poll.failures || poll.paused || poll.calling;
    if (poll.calling || !poll.begun) return;
    if (poll.paused || !app.canCall() || !app.isVisible()) broken = true;
    else poll.timer = setTimeout(sample, Math.max(0, poll.notBefore - performance.now()));
  }

  const wait = (seconds) => {
    poll.last = performance.now();
    poll.notBefore = poll.last + seconds * 1000;
  };

  async function sample() {
    poll.calling = true;
    plan();
    try {
      show(await app.call(app.given()));
    } catch (error) {
      failed(error);
    }
    poll.calling = false;
    plan();
  }

  function show(found) {
    Object.assign(poll, { begun: true, failures: 0 });
    wait(EVERY);
    if (!all.size) text("status", "");
    take(found);
    if (!all.size) text("status", "No container runs.");
    draw();
    plan();
  }

  function failed(error) {
    poll.begun = true;
    poll.failures += 1;
    broken = true;
    const seconds = Math.max(Math.min(LONGEST, EVERY * 2 ** poll.failures), error.seconds || 0);
    wait(seconds);
    if (["CONFLICT", "NOT_FOUND"].includes(error.code)) {
      leave(() => true);
      draw();
    }
    const next = app.canCall() ? `\nTrying again in ${Math.ceil(seconds)} s.` : "";
    text("alert", error.message + next);
    text("when", "");
    plan();
  }

  element("pause").addEventListener("click", () => {
    poll.paused = !poll.paused;
    element("pause").textContent = poll.paused ? "Resume" : "Pause";
    text("status", poll.paused ? "Paused." : "Going on.");
    text("when", "");
    plan();
  });
  element("now").addEventListener("click", () => {
    element("pause").focus(); // this button goes away
    poll.notBefore = poll.last + EVERY * 1000;
    plan();
  });
  new ResizeObserver(redraw).observe(element("charts"));
  app.open({ tool: "docker_container_stats", show, failed, changed: plan });
}
