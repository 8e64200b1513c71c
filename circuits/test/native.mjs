// The circuits against vectors/native.json: what the node's own code makes of records, and what it says about them. The
// Rust test zk/tests/vectors.rs keeps that file equal to the code. Then the templates above signatures for themselves.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { P } from "./field.mjs";
import { check, home, load, same, test } from "./harness.mjs";

const rows = JSON.parse(readFileSync(join(home, "vectors/native.json"), "utf8"));
const first = (instance, what) => rows.find((row) => row.instance === instance && (!what || row.what === what)).inputs;

for (const instance of new Set(rows.map((row) => row.instance))) {
  test(`native vectors of ${instance}`, () => {
    for (const { what, inputs, outputs } of rows.filter((row) => row.instance === instance)) {
      if (outputs === null) load(instance).refuses(inputs);
      else same(load(instance).outputs(inputs), outputs.map(BigInt), what);
    }
  });
}

test("HeaderDigest: every input counts", () => {
  for (const level of [0, 1, 2, 3]) {
    const header = load(`header-digest-${level}`);
    const inputs = first(header.name);
    const digests = new Set([String(header.outputs(inputs))]);
    let count = 1;
    for (const [name, values] of Object.entries(inputs)) {
      values.forEach((value, i) => {
        const changed = { ...inputs, [name]: values.map((kept, j) => (i === j ? (BigInt(value) + 1n) % P : kept)) };
        digests.add(String(header.outputs(changed)));
        count++;
      });
    }
    same([digests.size, count], [20 + 6 * level, 20 + 6 * level], "digests"); // the level itself is no input
    header.pinned(inputs);
  }
});

test("HeaderRanges: each number has its width", () => {
  const ranges = load("header-ranges-1");
  const most = { epoch: 64n, supply: 64n, lamport: 64n };
  const stamp = [64n, 32n, 8n, 32n].map((bits) => (1n << bits) - 1n);
  const entries = [[128n, 128n, 64n], [128n, 128n, 64n]];
  const good = { dense: stamp, levels: entries.map((row) => row.map((bits) => (1n << bits) - 1n)) };
  for (const [name, bits] of Object.entries(most)) good[name] = (1n << bits) - 1n;
  ranges.pinned({ ...good, levels: [good.levels] }, { most: 50 });
  for (const name of Object.keys(most)) ranges.refuses({ ...good, levels: [good.levels], [name]: good[name] + 1n });
  for (const i of stamp.keys()) {
    ranges.refuses({ ...good, levels: [good.levels], dense: stamp.with(i, stamp[i] + 1n) });
  }
  for (const s of [0, 1]) {
    for (const i of [0, 1, 2]) {
      const levels = good.levels.map((row, j) => row.map((value, k) => (j === s && k === i ? value + 1n : value)));
      ranges.refuses({ ...good, levels: [levels] });
    }
  }
});

test("TernaryRoot, TernaryPath, TernarySumNode: no signal may be another", () => {
  for (const instance of ["ternary-root-1", "ternary-root-2", "ternary-path-1", "ternary-path-2", "ternary-sum-node"]) {
    load(instance).pinned(first(instance));
  }
});

test("TernaryPath: no place but the three children", () => {
  const path = load("ternary-path-1");
  const inputs = first("ternary-path-1", "path");
  const roots = new Set();
  for (const one of [0, 1, 2, P - 1n]) {
    for (const two of [0, 1, 2, P - 1n]) {
      const solutions = path.solutions({ ...inputs, trit: [one, two] });
      const isPlace = [[0, 0], [1, 0], [0, 1]].some(([a, b]) => a === one && b === two);
      same(solutions.length, isPlace ? 1 : 0, `child (${one}, ${two})`);
      for (const root of solutions) roots.add(String(root));
    }
  }
  same(roots.size, 3, "another child, another root");
});

test("Quorum: one replica counts once, and only whole replicas", () => {
  const quorum = load("quorum-3-2");
  const good = first("quorum-3-2", "quorum"); // signers 0 and 1
  const honest = quorum.pinned(good, { idle: /ratio/, most: 6 });
  const [r, s] = [good.r, good.s];
  const twice = { ...good, r: [r[0], r[1], r[0], r[1]], s: [s[0], s[0]] };
  for (const [inputs, why] of [
    [{ ...twice, pick: [1, 0, 0, 1, 0, 0] }, "replica 0 twice"],
    [{ ...good, pick: [1, 0, 0, 0, 0, 0] }, "a signature of nobody"],
    [{ ...good, pick: [1, 0, 0, 1, 1, 0] }, "a signature of two"],
    [{ ...good, pick: [0, 1, 0, 1, 0, 0] }, "the other one's signatures"],
    [{ ...good, pick: [2, P - 1n, 0, 0, 1, 0] }, "fractions of replicas"],
    [{ ...good, message: [1] }, "another message"],
  ]) {
    quorum.refuses(inputs);
    check(quorum.forged(inputs, honest, () => undefined) > 0, why);
  }
  // One signature twice, with all of the first's wires: the one row that counts replica 0 is against it, and no other.
  const wireOf = new Map(quorum.r1cs.names.flatMap((names, wire) => names.map((name) => [name, wire])));
  const copy = (name) => honest[wireOf.get(name.replace("main.signature[1]", "main.signature[0]"))];
  same(quorum.forged({ ...twice, pick: [1, 0, 0, 1, 0, 0] }, honest, copy), 1, "rows against it");
  // Parts of replicas that add up to whole ones, and a place whose key adds nothing: no row of points would mind.
  const [one, other] = [good.key.slice(0, 2), good.key.slice(2, 4)];
  const whole = { ...twice, key: [...one, ...one, ...other] };
  quorum.witness({ ...whole, pick: [1, 0, 0, 0, 1, 0] });
  quorum.refuses({ ...whole, pick: [5, P - 4n, 0, P - 4n, 5, 0] });
  const empty = { ...good, key: [...one, 0, 0, ...other] };
  quorum.witness({ ...empty, pick: [1, 0, 0, 0, 0, 1] });
  quorum.refuses({ ...empty, pick: [1, 1, 0, 0, 0, 1] });
  // Disabled: any message, but still one replica each.
  quorum.witness({ ...good, enabled: [0], message: [1] });
  quorum.refuses({ ...twice, pick: [1, 0, 0, 1, 0, 0], enabled: [0] });
});

test("CommitteeLeaf, CertifiedHeader: no signal may be another", () => {
  load("committee-leaf-3").pinned(first("committee-leaf-3"));
  load("certified-header-1-3-2").pinned(first("certified-header-1-3-2"), { idle: /ratio/, most: 2 });
});
