// The command that a desktop client makes of a bundle, with everything switched on in the form, one argument a line:
// node configured.mjs FOLDER-OF-PACKAGES FOLDER-OF-THE-BUNDLE UV
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [packages, folder, uv] = process.argv.slice(2);
const { getMcpConfigForManifest } = await import(pathToFileURL(`${packages}/@anthropic-ai/mcpb/dist/index.js`));
const { command, args, env } = await getMcpConfigForManifest({
  manifest: JSON.parse(await readFile(`${folder}/manifest.json`, "utf8")),
  extensionPath: folder,
  systemDirs: {},
  userConfig: { safety_allow_destructive_operations: true },
  pathSeparator: "/",
});
const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
console.log(["env", ...variables, command === "uv" ? uv : command, ...args].join("\n"));
