// Compiles every instance in main/ and compares hash and rows with hashes.json. Called by scripts/circuits.
//
//   node compile.mjs BUILD MODULES [--write]
//
// BUILD: folder for what is compiled, kept between runs. MODULES: the node_modules folder with circom2 in it.
// hashes.json, per instance: rows at O1 (the level in use), and SHA-256 of the .r1cs. Writing it approves other
// circuits, and so other keys.

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { circom } from "./circom.mjs";

const home = dirname(fileURLToPath(import.meta.url));
const [build, modules, write] = process.argv.slice(2);
const version = JSON.parse(readFileSync(join(modules, "circom2/package.json"), "utf8")).version;
const sha = (data) => createHash("sha256").update(data).digest("hex");

function rows(file) {
  const bytes = readFileSync(file);
  let at = 12;
  while (bytes.readUInt32LE(at) !== 1) at += 12 + Number(bytes.readBigUInt64LE(at + 4));
  return bytes.readUInt32LE(at + 12 + 60);
}

mkdirSync(build, { recursive: true });
for (const folder of ["lib", "main"]) {
  rmSync(join(build, folder), { recursive: true, force: true });
  cpSync(join(home, folder), join(build, folder), { recursive: true });
}
// For the tests alone, which compile parts of it.
cpSync(join(modules, "circomlib/circuits"), join(build, "circomlib"), { recursive: true });
const sources = readdirSync(join(home, "lib")).sort();
const library = sha(sources.map((name) => readFileSync(join(home, "lib", name))).map(sha).join() + version);
const names = readdirSync(join(home, "main")).map((name) => name.replace(/\.circom$/, "")).sort();
const instances = {};
for (const [i, name] of names.entries()) {
  const stamp = join(build, "out", `${name}.stamp`);
  const state = library + sha(readFileSync(join(home, "main", `${name}.circom`)));
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== state) {
    process.stderr.write(`compiling ${i + 1}/${names.length} ${name}\n`);
    circom(modules, build, `main/${name}.circom`, "O1", "out");
    writeFileSync(stamp, state);
  }
  const file = join(build, "out", `${name}.r1cs`);
  instances[name] = { rows: rows(file), r1cs: sha(readFileSync(file)) };
}
const text = JSON.stringify({ compiler: `circom2 ${version} --O1 --prime bn128`, instances }, null, 1) + "\n";
const file = join(home, "hashes.json");
if (write === "--write") {
  writeFileSync(file, text);
  process.stderr.write(`hashes.json: ${names.length} instances\n`);
} else {
  const known = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { instances: {} };
  const differing = [];
  const show = (instance) => (instance ? `${instance.rows} rows, ${instance.r1cs}` : "none");
  if (known.compiler !== JSON.parse(text).compiler) differing.push(`compiler: ${known.compiler}`);
  for (const name of new Set([...names, ...Object.keys(known.instances)])) {
    const [was, is] = [known.instances[name], instances[name]];
    if (JSON.stringify(was) !== JSON.stringify(is)) {
      differing.push(`${name}: ${show(is)}; committed: ${show(was)}`);
    }
  }
  for (const line of differing) process.stderr.write(`differs: ${line}\n`);
  if (differing.length > 0) process.exit(1);
  process.stderr.write(`${names.length} instances are what hashes.json says\n`);
}
