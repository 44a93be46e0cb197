// A client of the official TypeScript SDK, version 1 or 2: reads {version, era, command, args, env, calls} from
// standard input and writes what it saw to standard output, both as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const wanted = JSON.parse(readFileSync(0, "utf8"));
// the packages are installed in the folder that the client is run in
const resolve = createRequire(`${process.cwd()}/`).resolve;
const load = (name) => import(pathToFileURL(resolve(name)));

const base = wanted.version === 1 ? "@modelcontextprotocol/sdk/client" : "@modelcontextprotocol/client";
const { Client } = await load(wanted.version === 1 ? `${base}/index.js` : base);
const { StdioClientTransport } = await load(wanted.version === 1 ? `${base}/stdio.js` : `${base}/stdio`);

const mode = wanted.era === "2026-07-28" ? { pin: wanted.era } : "legacy";
const client = new Client(
  { name: "typescript", version: "1" },
  wanted.version === 1 ? {} : { versionNegotiation: { mode } },
);
const { command, args, env } = wanted;
await client.connect(new StdioClientTransport({ command, args, env, stderr: "inherit" }));

// listing first lets the client check every answer against the tool's schema
const { tools } = await client.listTools();
const results = [];
for (const { name, arguments: given } of wanted.calls) {
  results.push(await client.callTool({ name, arguments: given }));
}
const server = client.getServerVersion();
await client.close();
process.stdout.write(JSON.stringify({ server, tools, results }));
