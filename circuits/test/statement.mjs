// Whole statements against vectors/statement.json, which the Rust test zk/tests/statement.rs keeps equal to the native
// check. parts.mjs tests the templates below for themselves.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { generator, mod } from "./field.mjs";
import { check, home, load, same, test } from "./harness.mjs";
import { violated } from "./loose.mjs";

const rows = JSON.parse(readFileSync(join(home, "vectors/statement.json"), "utf8"));
const whole = (row) => (row.of === null ? row.inputs : { ...rows[row.of].inputs, ...row.inputs });

// The inputs of the vector of this name.
export const named = (what) => whole(rows.find((row) => row.what === what));

// What a row of the circuit is about, by the signals in it.
const LABELS = [
  ["previous", /^main\.previous$/],
  ["current", /^main\.current$/],
  ["genesis root", /^main\.genesisRoot$/],
  ["genesis counters", /^main\.cut\.moved\[/],
  ["epoch", /^main\.cut\.oldest\./],
  ["time", /^main\.cut\.newest\./],
  ["total", /^main\.total$/],
  ["flow", /^main\.cut\.conservation\.triangle\[/],
  ["not lower", /^main\.step\[\d\]\.rise\./],
  ["quorum", /^main\.step\[\d\]\.new\.quorum\.signature\[|^main\.pick\[/],
  ["supply", /^main\.supply\[/],
  ["carried over", /^main\.cut\.digest\[/],
];
const label = (signals) => {
  const found = LABELS.find(([, pattern]) => signals.some((signal) => pattern.test(signal)));
  check(found, `an unknown row does not hold: ${signals.slice(0, 5)}`);
  return found[0];
};

// Per kind of native error, the rows of which one must say the same.
const REFUSING = {
  Link: ["previous", "genesis root", "genesis counters"],
  Origin: ["current"],
  Summary: ["current", "epoch", "time"],
  Foreign: ["current", "previous"],
  Epoch: ["not lower", "carried over"],
  Quorum: ["quorum"],
  Lower: ["not lower"],
  Supply: ["supply"],
  Flow: ["flow"],
  Total: ["total"],
};

for (const instance of new Set(rows.map((row) => row.instance))) {
  test(`statements of ${instance}: accepted as natively`, () => {
    for (const row of rows.filter((row) => row.instance === instance && row.refused === null)) {
      const w = load(instance).witness(whole(row));
      same(w.slice(1, 3), [row.inputs.current ?? rows[row.of].inputs.current, whole(row).previous].flat().map(BigInt),
        "the public wires are current and previous");
    }
  });
}

test("statements of statement-1-3-2: refused by the rows that are about the fault", () => {
  const refused = rows.filter((row) => row.refused !== null);
  const alone = new Set();
  for (const row of [...new Set(refused.map((row) => row.of))].map((of) => rows[of])) {
    same(violated(row.instance, whole(row)), [], `${row.what}: rows without a fault`);
  }
  for (const row of refused) {
    const against = new Set(violated(row.instance, whole(row)).map(label));
    check(REFUSING[row.refused].some((name) => against.has(name)), `${row.what}: ${row.refused}, ${[...against]}`);
    if (against.size === 1) alone.add([...against][0]);
  }
  // Each is the only thing that stops some attack: none can be left out.
  same(LABELS.map(([name]) => name).filter((name) => !alone.has(name)), [], "never needed");
});

// Every seventh input, by what an attacker would try: a neighbour, a limb more, the negative, anything.
test("statements of statement-1-3-2: no input may be another, with everything after it recomputed", () => {
  const inputs = named("two shards have received");
  const random = generator(29);
  const changes = [(v) => v + 1n, (v) => v - 1n, (v) => v + 2n ** 64n, (v) => -v - 1n, () => random.element()];
  const places = Object.entries(inputs).flatMap(([name, values]) => values.map((_, place) => [name, place]));
  // Signatures of a shard that is carried over are nobody's.
  const isFree = ([name, place]) => ["pick", "r", "s"].includes(name) && place < inputs[name].length / 3;
  check(inputs.fresh[0] === "0", "shard 0 is carried over");
  places.filter((place) => !isFree(place)).filter((_, i) => i % 7 === 3).forEach(([name, place], i) => {
    const value = mod(changes[i % changes.length](BigInt(inputs[name][place])));
    const against = violated("statement-1-3-2", { ...inputs, [name]: inputs[name].with(place, value) });
    check(against.length > 0, `${name}[${place}] = ${value} is accepted`);
  });
  same(violated("statement-1-3-2", { ...inputs, r: inputs.r.with(0, "5") }), [], "a signature that nobody asks for");
});
