"use strict";
{
  const { element, list, node, text } = app;
  // what needs a look comes first
  const STATES = ["dead", "restarting", "exited", "paused", "removing", "created", "running"];
  const COLOURS = { running: "good", dead: "bad", restarting: "bad", paused: "odd", removing: "odd" };
  const HEALTHS = { unhealthy: "bad", starting: "odd", healthy: "good" };
  const EVERY_ADDRESS = /^(?:0\.0\.0\.0|\[::\]):/;
  let containers = [];
  let taken = "";

  // Ports as the tool writes them; those of every address, IPv4 and IPv6, are written once.
  const ports = (row) => [
    ...new Set(list(row.ports).map((port) => String(port).replace(EVERY_ADDRESS, "*:").replace("->", " → "))),
  ];
  // the health has a column of its own
  const status = (row) => String(row.status || "").replace(/ \((?:healthy|unhealthy|health: starting)\)/, "");
  const compose = (row) => [row.compose_project, row.compose_service].filter(Boolean).join(" / ");

  const fill = app.table(element("rows"), {
    label: "Containers",
    sort: "Name",
    id: (row) => row.id || row.name,
    columns: [
      {
        title: "Name",
        class: "long",
        value: (row) => row.name || row.id,
        draw: (cell, row) => cell.replaceChildren(
          node("span", {}, node("strong", {}, row.name || row.id || "?"), node("small", {}, compose(row)))),
      },
      {
        title: "State",
        class: "tight",
        value: (row) => Math.max(0, STATES.indexOf(row.state)),
        draw: (cell, row) => cell.replaceChildren(
          node("span", { class: `state ${COLOURS[row.state] || "quiet"}` }, row.state || "unknown")),
      },
      {
        title: "Health",
        class: "tight",
        value: (row) => (HEALTHS[row.health] ? Object.keys(HEALTHS).indexOf(row.health) : undefined),
        draw: (cell, row) => cell.replaceChildren(
          ...(row.health ? [node("span", { class: HEALTHS[row.health] || "" }, row.health)] : [])),
      },
      {
        title: "Ports",
        value: (row) => ports(row)[0],
        draw: (cell, row) => cell.replaceChildren(
          ...(ports(row).length
            ? [node("span", {}, ...ports(row).map((port) =>
                node("span", { class: port.includes("→") ? "piece" : "piece quiet" }, port)))]
            : [])),
      },
      {
        title: "Image",
        class: "long",
        value: (row) => row.image,
        // a long name breaks where its parts do
        draw: (cell, row) => cell.replaceChildren(
          node("span", {}, ...String(row.image || "").split(/(?<=\/)/).flatMap((part) => [part, node("wbr", {})]))),
      },
      { title: "Status", class: "quiet", value: status },
      { title: "Networks", class: "quiet wide long", value: (row) => list(row.networks).join(", ") },
    ],
  });

  function draw() {
    const wanted = element("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = containers.filter((row) => {
      const all = [row.name, row.id, row.image, row.state, row.health, status(row), compose(row), ...ports(row),
        ...list(row.ports), ...list(row.networks)].join(" ").toLowerCase();
      return wanted.every((word) => all.includes(word));
    });
    fill(rows);
    element("rows").hidden = !rows.length;
    text("empty", rows.length ? "" : containers.length ? "No container matches the filter." : "There are no containers.");
    const shown = wanted.length ? `${rows.length} of ${containers.length} shown` : `${rows.length} shown`;
    text("status", `${shown}, as of ${taken}`);
  }

  function counted() {
    const counts = new Map();
    for (const { state, health } of containers) {
      counts.set(state || "unknown", (counts.get(state || "unknown") || 0) + 1);
      if (health === "unhealthy") counts.set(health, (counts.get(health) || 0) + 1);
    }
    return [...counts].map(([what, count]) => `${count} ${what}`).join(" · ");
  }

  function show(found) {
    containers = list(found.containers).filter(app.isObject);
    taken = app.clock(new Date());
    text("summary", counted());
    draw();
  }

  element("filter").addEventListener("input", draw);
  app.button("refresh", async () => show(await app.call(app.given())));
  app.open({
    tool: "docker_list_containers",
    show,
    changed: () => {
      element("refresh").hidden = !app.canCall();
    },
  });
}
