// What an attacker who knows the rows would hand in: the witness that the circuit's own program computes, for inputs at
// which it would stop. The same sources without their `===` rows are compiled, so that every signal is assigned and none
// is checked; its signals are put into the real rows by name. Which of those do not hold then says what refuses.

import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { circom } from "../circom.mjs";
import { build, check, home, load, modules } from "./harness.mjs";
import { WitnessProgram } from "./witness.mjs";

const folder = join(build, "loose");
const known = new Map();

function prepare() {
  rmSync(folder, { recursive: true, force: true });
  for (const part of ["lib", "main"]) cpSync(join(build, part), join(folder, part), { recursive: true });
  for (const name of readdirSync(join(folder, "lib"))) {
    const text = readFileSync(join(folder, "lib", name), "utf8");
    writeFileSync(join(folder, "lib", name), text.replace(/^[^/\n]* === [^\n]*;$/gm, ""));
  }
}

// The names of signals, shortest first, in rows that the witness for these inputs violates: one list per row. At O1 a
// row's signals have all the names that were made one.
export function violated(name, inputs) {
  const { r1cs } = load(name);
  if (!known.has(name)) {
    if (known.size === 0) prepare();
    circom(modules, folder, `main/${name}.circom`, "O0", "out");
    const wires = new Map();
    for (const line of readFileSync(join(folder, "out", `${name}.sym`), "utf8").trim().split("\n")) {
      const [, wire, , signal] = line.split(",");
      if (Number(wire) > 0) wires.set(signal, Number(wire));
    }
    const program = new WitnessProgram(join(folder, "out", `${name}_js`, `${name}.wasm`));
    const places = r1cs.names.map((names) => wires.get(names.find((signal) => wires.has(signal))));
    check(places.slice(1).every((place) => place !== undefined), `${name}: signals without a value`);
    known.set(name, { program, places });
  }
  const { program, places } = known.get(name);
  const all = program.compute(inputs);
  const w = places.map((place, wire) => (wire === 0 ? 1n : all[place]));
  return r1cs.violated(w).map((row) => {
    const wires = new Set(r1cs.rows[row].flat().map(([wire]) => wire));
    wires.delete(0);
    return [...wires].flatMap((wire) => r1cs.names[wire]).sort((a, b) => a.length - b.length);
  });
}
