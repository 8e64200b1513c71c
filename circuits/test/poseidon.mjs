// poseidon.circom against published vectors (circomlibjs), the vectors of smt-types, and circomlib's own circuits.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { P } from "./field.mjs";
import { build, check, elements, home, load, modules, same, test } from "./harness.mjs";
import { circom } from "../circom.mjs";

const types = (name) => JSON.parse(readFileSync(join(home, "../consensus/types/vectors", name), "utf8"));
const COMPILED = [1, 2, 3, 4, 5, 6, 12];

// circomlib's template, compiled into the build folder.
export function circomlib(name, file, main) {
  const text = `pragma circom 2.1.6;\n\ninclude "circomlib/${file}";\n\ncomponent main = ${main};\n`;
  writeFileSync(join(build, `${name}.circom`), text);
  circom(modules, build, `${name}.circom`, "O2", "circomlib-out");
  return load(name, `circomlib-out/${name}`);
}

test("Poseidon: circomlibjs' vectors", () => {
  let used = 0;
  for (const { inputs, hash } of types("poseidon.json").hashes) {
    if (!COMPILED.includes(inputs.length)) continue;
    same(load(`poseidon-${inputs.length}`).outputs({ in: inputs }), [BigInt(hash)], `poseidon of ${inputs}`);
    used++;
  }
  check(used >= 3 * COMPILED.length, `only ${used} vectors used`);
});

test("PoseidonMany: the vectors of smt-types", () => {
  const lengths = [1, 10, 11, 12, 22, 23, 40];
  for (const { inputs, hash } of types("jub.json").lists) {
    if (inputs.length === 0) continue;
    check(lengths.includes(inputs.length), `no instance for ${inputs.length} elements`);
    same(load(`poseidon-many-${inputs.length}`).outputs({ in: inputs }), [BigInt(hash)], `list of ${inputs.length}`);
  }
});

test("Poseidon: equal to circomlib on any input, and no larger", () => {
  for (const n of COMPILED) {
    const own = load(`poseidon-${n}`);
    const other = circomlib(`circomlib-poseidon-${n}`, "poseidon.circom", `Poseidon(${n})`);
    const rows = [own.r1cs.rows.length, other.r1cs.rows.length];
    check(rows[0] <= rows[1], `t = ${n + 1}: ${rows[0]} rows, circomlib ${rows[1]}`);
    const values = elements(n * 4, n);
    for (let i = 0; i + n <= values.length; i += n) {
      const inputs = values.slice(i, i + n);
      same(own.outputs({ in: inputs }), other.outputs({ inputs }), `poseidon of ${inputs}`);
    }
    const largest = new Array(n).fill(P - 1n);
    same(own.outputs({ in: largest }), other.outputs({ inputs: largest }), "largest");
  }
});

test("Poseidon, PoseidonMany: no signal may be another", () => {
  for (const n of COMPILED) load(`poseidon-${n}`).pinned({ in: elements(n, n).slice(-n) });
  for (const n of [1, 11, 12, 23]) load(`poseidon-many-${n}`).pinned({ in: elements(n, n).slice(-n) });
});
