// What every test uses: compiled instances, and the checks that hold for every template.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { P, generator, mod } from "./field.mjs";
import { R1cs } from "./r1cs.mjs";
import { WitnessProgram } from "./witness.mjs";

export const home = join(dirname(fileURLToPath(import.meta.url)), "..");
export const [build, modules, filter] = process.argv.slice(2);

// Per file of lib/, what its templates assign by `<--`.
const source = readdirSync(join(home, "lib")).map((name) => readFileSync(join(home, "lib", name), "utf8")).join("\n");
export const hints = new Set([...source.matchAll(/(\w+)(?:\[[^=\n]*\])?\s*<--/g)].map((found) => found[1]));
// Those of them that a test has altered.
export const altered = new Set();

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

const text = (value) => JSON.stringify(value, (_, v) => (typeof v === "bigint" ? v.toString() : v));

export function same(got, want, message) {
  check(text(got) === text(want), `${message}: got ${text(got)}, want ${text(want)}`);
}

const loaded = new Map();

// An instance of main/ (or a path below the build folder, without ending), compiled.
export function load(name, path = `out/${name}`) {
  if (!loaded.has(name)) loaded.set(name, new Instance(name, path));
  return loaded.get(name);
}

class Instance {
  constructor(name, path) {
    this.name = name;
    const base = join(build, path);
    check(existsSync(`${base}.r1cs`), `${name} is not compiled`);
    this.r1cs = new R1cs(`${base}.r1cs`, `${base}.sym`, hints);
    this.program = new WitnessProgram(join(`${base}_js`, `${base.slice(base.lastIndexOf("/") + 1)}.wasm`));
  }

  // All wires for these inputs; the rows hold.
  witness(inputs) {
    const w = this.program.compute(inputs);
    same(this.r1cs.violated(w), [], `${this.name}: the program's witness violates rows`);
    return w;
  }

  outputs(inputs) {
    return this.witness(inputs).slice(1, 1 + this.r1cs.outputs);
  }

  // The program finds no witness. That is its own assertions; forged() and solutions() are about the rows.
  refuses(inputs) {
    try {
      this.program.compute(inputs);
    } catch (error) {
      check(/assertion failed/.test(error.message), `${this.name}: ${error.message}`);
      return;
    }
    throw new Error(`${this.name} accepts ${text(inputs)}`);
  }

  nameOf(wire) {
    return this.r1cs.names[wire].join(" = ");
  }

  // The inputs in the order of the rows, from {name: value}; arrays row by row, nested or not.
  flat(inputs) {
    const { r1cs } = this;
    const queues = new Map(Object.entries(inputs).map(([name, value]) => [name, [value].flat(Infinity)]));
    const values = r1cs.names.slice(r1cs.firstInput, r1cs.firstInner).map((names) => {
      const [, name] = /^main\.(\w+)(?:\[|$)/.exec(names.find((text) => /^main\.[^.]*$/.test(text)));
      return mod(BigInt(queues.get(name).shift()));
    });
    check([...queues.values()].every((queue) => queue.length === 0), `${this.name}: inputs left over`);
    return values;
  }

  // Searches the rows for every witness there is; for templates with few bits. Yields their outputs, and fails if a
  // wire that nothing binds could change them.
  solutions(inputs) {
    return this.r1cs.solutions(this.flat(inputs), () => 0n).map(({ w, free }) => {
      for (const wire of free) this.mustBeIdle(w, wire);
      return w.slice(1, 1 + this.r1cs.outputs);
    });
  }

  // No row has anything to say about the wire at this witness: wherever it stands, it is multiplied by 0.
  mustBeIdle(w, wire) {
    for (const i of this.r1cs.rowsOf[wire]) {
      const [, factor, square] = this.r1cs.polynomial(i, wire, w);
      check(factor === 0n && square === 0n, `${this.name}: ${this.nameOf(wire)} is free and read by row ${i}`);
    }
  }

  // An attacker's witness: hints are what `choose(name)` says (undefined: what the honest witness has), the rest
  // follows from the rows. Returns how many rows it violates.
  forged(inputs, honest, choose) {
    return this.r1cs.solve(this.flat(inputs), this.attacker(honest, choose)).violated.length;
  }

  // The same against a bound: a forgery that satisfies every row but those of DigitsBound, and of these at least one
  // cannot hold whatever its ratio. So the forgery is a real one, and the bound is what stops it.
  stoppedByBound(inputs, honest, choose) {
    const { r1cs } = this;
    const isRatio = (wire) => r1cs.names[wire].some((name) => /\bratio\[/.test(name));
    const bound = new Map();
    r1cs.rows.forEach((row, i) => {
      const ratio = row.flat().find(([wire]) => isRatio(wire));
      if (ratio) bound.set(i, ratio[0]);
    });
    const { w, violated } = r1cs.solve(this.flat(inputs), this.attacker(honest, choose), false, bound);
    same(violated, [], `${this.name}: the forgery fails elsewhere`);
    const stopped = [...bound].some(([i, ratio]) => {
      const [constant, factor] = r1cs.polynomial(i, ratio, w);
      return factor === 0n && constant !== 0n;
    });
    check(stopped, `${this.name}: the bound lets the forgery pass`);
  }

  attacker(honest, choose) {
    return (wire) => this.r1cs.names[wire].map(choose).find((value) => value !== undefined) ?? honest[wire];
  }

  // What must hold of every template at every witness:
  // 1. no single wire can be altered without a row noticing;
  // 2. to first order nothing can move while the inputs are held (the Jacobian of the rows has full rank);
  // 3. solving the rows from the inputs gives this witness, with a choice at few wires (bits, signs); altering any of
  //   those choices,
  //    everything after it recomputed, violates a row.
  // Where a wire is multiplied by 0 wherever it stands it may be anything; `idle` says which names that may happen to.
  pinned(inputs, { idle = /^$/, most = Infinity, seed = 1 } = {}) {
    const { r1cs } = this;
    const random = generator(seed);
    const w = this.witness(inputs);
    const isIdle = (wire) => {
      if (!r1cs.names[wire].some((name) => idle.test(name))) return false;
      this.mustBeIdle(w, wire);
      return true;
    };
    for (let wire = 1; wire < r1cs.wires; wire++) {
      if (r1cs.isInput(wire)) continue;
      for (const value of [w[wire] + 1n, -w[wire], 0n, random.element()]) {
        const other = mod(value);
        if (other === w[wire] || r1cs.notices(w, wire, other)) continue;
        // A row that only knows the square needs the others, so step 3 has to find it.
        check(isIdle(wire) || r1cs.isHint[wire], `${this.name}: nothing notices another ${this.nameOf(wire)}`);
        check(isIdle(wire) || !this.satisfied(w, wire, other), `${this.name}: ${this.nameOf(wire)} may be another`);
      }
    }
    for (const wire of r1cs.movable(w)) check(isIdle(wire), `${this.name}: ${this.nameOf(wire)} can move`);

    const flat = this.flat(inputs);
    const roots = new Map();
    const honest = r1cs.solve(flat, (wire, other) => {
      roots.set(wire, other === null ? null : other(w[wire]));
      return w[wire];
    });
    same(honest.violated, [], `${this.name}: solving by rows`);
    check(honest.w.every((value, wire) => value === w[wire]), `${this.name}: solving by rows gives another witness`);
    const chosen = honest.choices.filter((_, i) => i % Math.ceil(honest.choices.length / most) === 0);
    for (const wire of chosen) {
      const root = roots.get(wire);
      for (const value of root === null ? [w[wire] + 1n, random.element()] : [root]) {
        if (mod(value) === w[wire]) continue;
        const forged = r1cs.solve(flat, (other) => (other === wire ? value : w[other]), true);
        const refused = forged.violated.length > 0 || isIdle(wire);
        check(refused, `${this.name}: another choice of ${this.nameOf(wire)} is accepted`);
      }
    }
    // Hints that are no choice follow from the rows before them, and step 1 altered them all.
    for (let wire = 1; wire < r1cs.wires; wire++) {
      if (!r1cs.isHint[wire]) continue;
      for (const name of r1cs.names[wire]) altered.add(name.slice(name.lastIndexOf(".") + 1).replace(/\[.*/, ""));
    }
    return w;
  }

  satisfied(w, wire, value) {
    const copy = w.slice();
    copy[wire] = value;
    return this.r1cs.rowsOf[wire].every((i) => this.r1cs.holds(i, copy));
  }
}

export const borders = (bits) => [0n, 1n, 2n, (1n << BigInt(bits)) - 1n, 1n << BigInt(bits - 1)];
export const elements = (count, seed) => {
  const random = generator(seed);
  return [0n, 1n, P - 1n, ...Array.from({ length: count }, () => random.element())];
};

const tests = [];

export function test(name, body) {
  tests.push([name, body]);
}

export async function run() {
  let failed = 0;
  const wanted = tests.filter(([name]) => !filter || name.includes(filter));
  for (const [name, body] of wanted) {
    const start = Date.now();
    try {
      await body();
      console.log(`ok      ${name} (${Date.now() - start} ms)`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}: ${error.stack}`);
    }
  }
  console.log(`${wanted.length - failed} passed, ${failed} failed`);
  process.exit(failed > 0 || wanted.length === 0 ? 1 : 0);
}
