// The verifier's templates: transcript, words, challenges, and the claims of vectors/verifier.json, which
// zk/tests/verifier.rs keeps equal to the native code: honest hints are accepted, and an attacker's are refused by the
// rows.

import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { P, generator, mod } from "./field.mjs";
import { build, check, elements, home, load, modules, same, test } from "./harness.mjs";
import { circom } from "../circom.mjs";
import { circomlib } from "./poseidon.mjs";
import { WitnessProgram } from "./witness.mjs";

const rows = JSON.parse(readFileSync(join(home, "vectors/verifier.json"), "utf8"));
const sizes = JSON.parse(readFileSync(join(home, "hashes.json"), "utf8")).instances;
const LIMBS = [64n, 64n, 64n, 62n];

// What an attacker computes from hints of his choice: the instance's program with every `===` taken out, and all
// signals kept, so that each wire of the real rows has a value.
const opened = new Map();
function attack(name, inputs) {
  if (!opened.has(name)) {
    const folder = join(build, "open");
    mkdirSync(folder, { recursive: true });
    for (const part of ["lib", "main"]) cpSync(join(build, part), join(folder, part), { recursive: true });
    for (const file of readdirSync(join(folder, "lib"))) {
      const path = join(folder, "lib", file);
      writeFileSync(path, readFileSync(path, "utf8").replace(/^ *[^\n]* === [^\n]*;$/gm, ""));
    }
    circom(modules, folder, `main/${name}.circom`, "O0", "out");
    const place = new Map();
    for (const line of readFileSync(join(folder, `out/${name}.sym`), "utf8").trim().split("\n")) {
      const [, wire, , signal] = line.split(",");
      place.set(signal, Number(wire));
    }
    const wires = load(name).r1cs.names.map((names) => (names.length > 0 ? place.get(names[0]) : 0));
    opened.set(name, { wires, program: new WitnessProgram(join(folder, `out/${name}_js/${name}.wasm`)) });
  }
  const { wires, program } = opened.get(name);
  const all = program.compute(inputs);
  return wires.map((wire) => all[wire]);
}

// Claims with few words.
const SMALL = [...new Set(rows.map((row) => row.instance))].filter((name) => sizes[name].rows < 50_000);

function inputsOf(row) {
  if (row.inputs) return row.inputs;
  const { inputs } = rows.find(({ instance, what }) => instance === row.instance && what === row.base);
  return Object.fromEntries(
    Object.entries(inputs).map(([name, values]) => [name, values.map((value, i) => row.changes[name]?.[i] ?? value)]),
  );
}

for (const name of new Set(rows.map((row) => row.instance))) {
  test(`${name}: verifier vectors`, () => {
    let [accepted, refused] = [0, 0];
    for (const row of rows.filter(({ instance }) => instance === name)) {
      if (row.inputs) {
        load(name).witness(row.inputs);
        same(load(name).r1cs.violated(attack(name, row.inputs)), [], `${row.what}: by the attacker's program`);
        accepted++;
        continue;
      }
      check(Object.keys(row.changes).length > 0, `${row.what}: nothing is changed`);
      const violated = load(name).r1cs.violated(attack(name, inputsOf(row)));
      check(violated.length > 0 && row.violates > 0, `${name} accepts ${row.what}`);
      same(violated.length, row.violates, `${name}, ${row.what}: rows violated`);
      refused++;
    }
    check(accepted > 0 && refused > 0, "both verdicts");
  });
}

for (const name of SMALL) {
  test(`${name}: no signal may be another`, () => {
    load(name).pinned(rows.find(({ instance }) => instance === name).inputs, { idle: /ratio/, most: 2 });
  });

  // The attacker need not go the program's way: the rows themselves, solved from the inputs, find no witness either.
  test(`${name}: a false claim by the rows`, () => {
    const lies = rows.filter(({ instance, what }) => instance === name && /^word \d+ plus 1$/.test(what));
    check(lies.length >= 3, "false claims");
    for (const row of lies.slice(0, 3)) {
      const witness = attack(name, inputsOf(row));
      const forged = load(name).forged(inputsOf(row), witness, () => undefined);
      check(forged > 0, `${name} accepts ${row.what}`);
    }
  });
}

test("TwistEnd: no signal may be another", () => {
  const random = generator(18);
  const some = (n) => Array.from({ length: n }, () => random.element());
  load("twist-end").pinned({ point: some(4), line: some(4), power: some(3), nu: some(2) });
});

test("Closing: weights whose coefficients could wrap do not compile", () => {
  const compile = (weights) => {
    const text = `pragma circom 2.1.6;\n\ninclude "lib/closing.circom";\n\ncomponent main = Closing(1, ${weights});\n`;
    writeFileSync(join(build, "closing-weights.circom"), text);
    circom(modules, build, "closing-weights.circom", "O1", "out");
  };
  compile("0, 0, 0, 2**16 - 1");
  for (const weights of ["2**16, 0, 0, 0", "0, 2**16, 0, 0", "0, 0, 2**16, 0", "0, 0, 0, 2**16"]) {
    let refused = false;
    try {
      compile(weights);
    } catch (error) {
      refused = /assert/i.test(error.message);
    }
    check(refused, `weights ${weights}`);
  }
});

test("Select8: one of 8 points or its negative", () => {
  const select = load("select-8");
  const random = generator(19);
  const table = Array.from({ length: 8 }, () => [random.element(), random.element()]);
  for (let i = 0; i < 16; i++) {
    const bit = [0, 1, 2, 3].map((j) => (i >> j) & 1);
    const [x, y] = table[[1, 2, 3].reduce((place, j) => place + ((bit[j] ^ bit[0]) << (j - 1)), 0)];
    same(select.outputs({ table, bit }), [x, bit[0] ? mod(-y) : y], `bits ${bit}`);
  }
  select.pinned({ table, bit: [1, 0, 1, 1] });
  select.pinned({ table, bit: [0, 1, 1, 1] });
});

test("Comb: the key's digest takes every limb", () => {
  const inputs = rows.find(({ instance }) => instance === "comb-2").inputs;
  const values = inputs.key;
  const digests = new Set(
    [-1, ...values.keys()].map((i) => {
      const key = values.map((value, j) => (i === j ? String(BigInt(value) + 1n) : value));
      return String(load("transcript-digest-136").outputs({ in: key })[0]);
    }),
  );
  same(digests.size, 137, "digests");
  same(load("comb-2").outputs(inputs)[0], load("transcript-digest-136").outputs({ in: values })[0], "Comb's digest");
});

test("TranscriptDigest: equal to circomlib's permutation, all elements", () => {
  const text = "PoseidonEx(16, 17)";
  const other = circomlib("circomlib-poseidon-ex-16", "poseidon.circom", text);
  const [one, two] = [load("transcript-digest-16"), load("transcript-digest-17")];
  const values = elements(40, 11);
  for (const list of [values.slice(0, 17), values.slice(20, 37), new Array(17).fill(P - 1n), new Array(17).fill(0n)]) {
    const first = other.outputs({ inputs: list.slice(0, 16), initialState: 7n });
    same(one.outputs({ in: list.slice(0, 16) }), first.slice(1), "one block");
    const next = first.slice(1).map((value, i) => (i === 0 ? mod(value + list[16]) : value));
    same(two.outputs({ in: list }), other.outputs({ inputs: next, initialState: first[0] }).slice(1), "two blocks");
  }
});

test("TranscriptDigest: no signal may be another, and every element counts", () => {
  const list = elements(20, 12).slice(0, 17);
  load("transcript-digest-17").pinned({ in: list });
  const digests = new Set([list, ...list.map((_, i) => list.map((value, j) => (i === j ? mod(value + 1n) : value)))]
    .map((changed) => String(load("transcript-digest-17").outputs({ in: changed })[0])));
  same(digests.size, 18, "digests");
});

test("Word: 254 bits, its value at y, its bits for the transcript", () => {
  const word = load("word");
  const random = generator(13);
  const all = LIMBS.map((bits) => (1n << bits) - 1n);
  const limbs = () => LIMBS.map((bits) => random.below(1n << bits));
  const alone = (i) => LIMBS.map((bits, k) => (BigInt(i) >> 6n === BigInt(k) ? 1n << (BigInt(i) & 63n) : 0n));
  const y = random.element();
  const power = [2n, 4n, 6n].map((i) => mod(y ** i));
  const expected = (limb) => {
    const at = mod(limb.reduce((sum, value, k) => sum + value * (k === 0 ? 1n : power[k - 1]), 0n));
    const number = limb.reduce((sum, value, k) => sum + (value << BigInt(64 * k)), 0n);
    return [at, number & ((1n << 253n) - 1n), number >> 253n];
  };
  const cases = [[0n, 0n, 0n, 0n], all, limbs(), limbs(), ...[0, 63, 64, 191, 192, 252, 253].map(alone)];
  for (const limb of cases) same(word.outputs({ limb, power }), expected(limb), `word ${limb}`);
  for (const limb of cases.slice(0, 3)) word.pinned({ limb, power }, { most: 40 });
  for (const [k, bits] of LIMBS.entries()) {
    for (const value of [1n << bits, (1n << bits) + 1n, 1n << 64n, P - 1n]) {
      const limb = all.map((kept, i) => (i === k ? value : kept));
      word.refuses({ limb, power });
      // Its own bits, those of its difference from r, and a bit that is 2.
      for (const bit of [
        (i) => (value >> i) & 1n,
        (i) => ((P - value) >> i) & 1n,
        (i) => (i === bits - 1n ? (value >> i) & 3n : (value >> i) & 1n),
      ]) {
        const guess = (name) => {
          const place = new RegExp(`wordBit\\[${k}\\]\\[(\\d+)\\]`).exec(name);
          return place ? bit(BigInt(place[1]) + 1n) : undefined;
        };
        check(word.forged({ limb, power }, word.witness({ limb: all, power }), guess) > 0, `limb ${k} = ${value}`);
      }
    }
  }
});

test("Words: packs, then spills, 253 an element", () => {
  const words = load("words-254");
  const random = generator(14);
  const limb = Array.from({ length: 254 }, () => LIMBS.map((bits) => random.below(1n << bits)));
  const out = words.outputs({ limb, power: [0, 0, 0] });
  same(out.slice(0, 254), limb.map(([low]) => low), "values at 0");
  const numbers = limb.map((row) => row.reduce((sum, value, k) => sum + (value << BigInt(64 * k)), 0n));
  same(out.slice(254, 508), numbers.map((number) => number & ((1n << 253n) - 1n)), "packs");
  const spills = numbers.map((number) => number >> 253n);
  same(out[508], spills.slice(0, 253).reduce((sum, bit, i) => sum + (bit << BigInt(i)), 0n), "spills");
  same(out[509], spills[253], "the last spill");
});

const multiplier = (number, y) => {
  let sum = 0n;
  for (let i = 0n; i < 8n; i++) sum += ((number >> (15n * i)) & 0x7fffn) * y ** i;
  return mod(sum);
};

test("Multipliers: the lowest 240 bits of an element, of its canonical form alone", () => {
  const template = load("multipliers");
  const random = generator(15);
  const y = random.element();
  const power = Array.from({ length: 7 }, (_, i) => mod(y ** BigInt(i + 1)));
  const edge = (1n << 254n) - P;
  for (const element of [...elements(3, 16), edge, edge - 1n, P - 2n, (1n << 240n) - 1n]) {
    const honest = template.pinned({ element, power }, { idle: /ratio/, most: 12 });
    const want = [multiplier(element, y), multiplier(element >> 120n, y)];
    same(honest.slice(1, 3), want, `multipliers of ${element}`);
    if (element >= edge) continue;
    // The other row of bits: right sum, other multipliers. Only the bound stands against it.
    template.stoppedByBound({ element, power }, honest, (name) => {
      const place = /bits\.out\[(\d+)\]/.exec(name);
      return place ? ((element + P) >> BigInt(place[1])) & 1n : undefined;
    });
  }
});

test("Challenges: 16 elements a permutation, two multipliers each", () => {
  const template = load("challenges-33");
  const random = generator(17);
  const state = Array.from({ length: 17 }, () => random.element());
  const power = Array.from({ length: 7 }, (_, i) => 3n ** BigInt(i + 1));
  const out = template.outputs({ state, power });
  same(out.length, 33 + 17, "outputs");
  same(new Set(out.map(String)).size, 50, "all different");
  // The state is S-box outputs: the same transcript by circomlib's permutation, from the state's elements.
  const next = load("challenges-1").outputs({ state: out.slice(33), power });
  same(next.slice(1), out.slice(33), "one element needs no permutation");
  same(next[0], out[32], "the last element is the first of the last state");
  const first = load("challenges-1").outputs({ state, power });
  same(first[0], out[0], "the first element");
});
