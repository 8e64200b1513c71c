// The templates of which the statement is made, each for itself.

import { P, generator, mod } from "./field.mjs";
import { check, load, same, test } from "./harness.mjs";
import { violated } from "./loose.mjs";
import { named } from "./statement.mjs";

const random = generator(23);
const MAX128 = (1n << 128n) - 1n;

// No witness: the program stops, and the rows violated without its assertions are all about `about`.
function refused(name, inputs, about, why) {
  load(name).refuses(inputs);
  const rows = violated(name, inputs);
  check(rows.length > 0, `${name} accepts ${why}`);
  for (const signals of rows) check(signals.some((signal) => about.test(signal)), `${why}: ${signals.slice(0, 4)}`);
}

test("AssertLeast: the least of all triples", () => {
  const some = [0n, 1n, 6n, 15n];
  for (const a of some) {
    for (const b of some) {
      for (const c of some) {
        const least = [a, b, c].reduce((x, y) => (x < y ? x : y));
        for (const other of [...some, 2n, 16n, P - 1n]) {
          const found = load("assert-least-3-of-4").solutions({ in: [a, b, c], least: other });
          same(found.length, other === least ? 1 : 0, `least of ${[a, b, c]}: ${other}`);
        }
      }
    }
  }
  // For the greatest, with signs turned.
  load("assert-least-3-of-4").pinned({ in: [P - 3n, P - 9n, P - 1n], least: P - 9n });
});

test("PublicState, GenesisHash: every input counts", () => {
  for (const [name, inputs] of [
    [
      "public-state",
      { vkHash: 1, number: 2, genesis: 3, globalRoot: 4, committeeRoot: 5, supply: 6, epoch: 7, time: 8 },
    ],
    ["genesis-hash", { network: 1, file: [2, 3], globalRoot: 4, committeeRoot: 5, supply: 6, vkHash: 7 }],
  ]) {
    load(name).pinned(inputs);
    const values = new Set([String(load(name).outputs(inputs))]);
    let count = 1;
    for (const [input, value] of Object.entries(inputs)) {
      for (const i of [value].flat().keys()) {
        values.add(String(load(name).outputs({ ...inputs, [input]: [value].flat().with(i, 9) })));
        count++;
      }
    }
    same(values.size, count, `${name}: different hashes`);
  }
});

test("Triangle: no pair may receive more than was sent", () => {
  const triangle = load("triangle-4");
  const sent = [[3n, 15n], [0n, 1n], [8n, 7n]];
  // received[j][s]: of the s-th sibling. All of it, to the last unit.
  const received = [[sent[1][0], sent[2][0]], [sent[0][0], sent[2][1]], [sent[0][1], sent[1][1]]];
  same(triangle.pinned({ sent, received })[1], 0n, "all received");
  same(triangle.outputs({ sent, received: [[0n, 0n], [0n, 0n], [0n, 0n]] }), [34n], "nothing received");
  for (const j of [0, 1, 2]) {
    for (const s of [0, 1]) {
      const with1 = (change) => received.with(j, received[j].with(s, mod(received[j][s] + change)));
      same(triangle.solutions({ sent, received: with1(1n) }).length, 0, `child ${j} receives one more of sibling ${s}`);
      if (received[j][s] === 0n) continue;
      same(triangle.solutions({ sent, received: with1(-1n) }), [[1n]], `child ${j} receives one less of sibling ${s}`);
    }
  }
});

// A network of 3^height shards: what each sent to each, and what of that was received. Sums per triangle by the words.
function flows(height, draw) {
  const shards = 3 ** height;
  const word = (i) => [...i.toString(3).padStart(height, "0")].map(Number);
  const empty = () => Array.from({ length: shards }, () => Array.from({ length: height }, () => [0n, 0n]));
  const [sent, received, supply] = [empty(), empty(), Array.from({ length: shards }, () => draw(64n))];
  let total = supply.reduce((a, b) => a + b);
  const place = (own, other) => {
    const [a, b] = [word(own), word(other)];
    const level = a.findIndex((trit, i) => trit !== b[i]);
    return [level, [0, 1, 2].filter((trit) => trit !== a[level]).indexOf(b[level])];
  };
  for (let from = 0; from < shards; from++) {
    for (let to = 0; to < shards; to++) {
      if (from === to) continue;
      const [out, back] = [draw(120n), place(to, from)];
      const taken = out / 3n;
      const [level, sibling] = place(from, to);
      sent[from][level][sibling] += out;
      received[to][back[0]][back[1]] += taken;
      total += out - taken;
    }
  }
  return { sent, received, supply, total };
}

for (const height of [1, 2, 3]) {
  test(`Conservation: triangles and total, height ${height}`, () => {
    const name = `conservation-${height}`;
    const good = flows(height, (bits) => random.below(1n << bits));
    if (height < 3) load(name).pinned(good, { most: 20 });
    else load(name).witness(good);
    for (const total of [good.total + 1n, good.total - 1n, 0n]) {
      refused(name, { ...good, total }, /main\.total/, "a total");
    }
    const supply = good.supply.with(1, good.supply[1] + 1n);
    refused(name, { ...good, supply }, /main\.total/, "a supply");
    // A whole triangle at its largest values, none of it in flight.
    const full = flows(height, () => 0n);
    for (let i = 0; i < full.sent.length / 3; i++) full.sent[i][0] = [MAX128, MAX128];
    for (let i = full.sent.length / 3; i < full.sent.length; i++) full.received[i][0][0] = MAX128;
    load(name).witness(full);
    // Everything is in flight, and every sum as wide as it can be.
    const each = (value) => full.sent.map((levels) => levels.map(() => [value, value]));
    const total = 2n * BigInt(height * 3 ** height) * MAX128;
    load(name).witness({ ...full, sent: each(MAX128), received: each(0n), total });
    // Per level and sibling one unit more than was sent, and a supply that hides it from the total. The last level has
    // its triangles in every third shard.
    for (let level = 0; level < height; level++) {
      for (const sibling of [0, 1]) {
        const more = structuredClone(full);
        const shard = full.sent.length - 1;
        more.received[shard][level][sibling] += 1n;
        const rows = violated(name, { ...more, total: mod(full.total - 1n) });
        same(rows.length, 1, `${name}: level ${level}, sibling ${sibling}`);
        check(rows[0].some((signal) => /\.triangle\[/.test(signal)), `${name}: another row refuses`);
      }
    }
  });
}

test("NotLower: every counter by itself", () => {
  const name = "not-lower-1";
  const zero = { epoch: 0n, lamport: 0n, dense: [0n, 0n, 0n, 0n], levels: [[[0n, 0n, 0n], [0n, 0n, 0n]]] };
  const most = {
    epoch: 2n ** 64n - 1n, lamport: 2n ** 64n - 1n, dense: [2n ** 64n - 1n, 2n ** 32n - 1n, 255n, 2n ** 32n - 1n],
    levels: [[0, 1].map(() => [MAX128, MAX128, 2n ** 64n - 1n])],
  };
  const pair = (old, young, fresh) => ({
    fresh, ...Object.fromEntries(Object.keys(old).map((key) => [key, [old[key], young[key]]])),
  });
  load(name).pinned(pair(zero, most, 1n), { most: 40 });
  load(name).pinned(pair(zero, zero, 0n), { most: 40 });
  load(name).witness(pair(most, most, 0n));
  refused(name, pair(zero, zero, 1n), /epochRange/, "a fresh header of the same epoch");
  const one = structuredClone(zero);
  const lower = (change) => {
    const old = structuredClone(one);
    change(old);
    return pair(old, zero, 0n);
  };
  refused(name, lower((old) => (old.epoch = 1n)), /epochRange/, "a lower epoch");
  refused(name, lower((old) => (old.lamport = 1n)), /lamportRange/, "a lower Lamport time");
  for (const i of [0, 1, 2, 3]) {
    refused(name, lower((old) => (old.dense[i] = 1n)), /denseRange/, `a lower D, part ${i}`);
  }
  for (const s of [0, 1]) {
    for (const i of [0, 1, 2]) {
      refused(name, lower((old) => (old.levels[0][s][i] = 1n)), /levelRange/, `a lower entry ${s}, ${i}`);
    }
  }
  // D's order: an earlier part decides, whatever comes after it.
  for (const i of [1, 2, 3]) {
    const [old, young] = [structuredClone(zero), structuredClone(zero)];
    for (let j = i; j < 4; j++) old.dense[j] = most.dense[j];
    young.dense[i - 1] = 1n;
    load(name).witness(pair(old, young, 0n));
    refused(name, pair(young, old, 0n), /denseRange/, `D before part ${i}`);
  }
});

// One shard of a vector as inputs of ShardStep: its share of each array.
const SHARED = [
  "current", "previous", "vkHash", "number", "network", "file", "genesisRoot", "total", "cutEpoch", "cutTime",
];
function shardOf(inputs, shard) {
  const own = Object.entries(inputs).filter(([name]) => !SHARED.includes(name)).map(([name, values]) => {
    const size = values.length / 3;
    return [name, values.slice(shard * size, (shard + 1) * size).map(BigInt)];
  });
  return { ...Object.fromEntries(own), network: inputs.network, shard: [shard] };
}

test("ShardStep: fresh or carried over, and its supply", () => {
  const name = "shard-step-1-3-2";
  const inputs = named("two shards have received");
  const [carried, fresh] = [shardOf(inputs, 0), shardOf(inputs, 1)];
  same([carried.fresh, fresh.fresh], [[0n], [1n]], "the vector");
  load(name).pinned(fresh, { idle: /ratio/, most: 2 });
  same(violated(name, carried), [], "carried over");
  const [old, young, leaf, moved] = load(name).outputs(carried);
  check(old === young && moved !== 0n, "carried over: outputs");
  same(load(name).outputs(shardOf(named("genesis"), 0)).slice(2), [leaf, 0n], "leaf and counters at genesis");
  // All counters, each once: different powers of two.
  const powers = (first, count) => Array.from({ length: count }, (_, i) => 1n << BigInt(first + i));
  const [dense, levels] = [powers(2, 4), powers(6, 6)];
  const counted = { ...carried, epoch: [1n, 1n], lamport: [2n, 2n], dense: [dense, dense], levels: [levels, levels] };
  same(load(name).outputs(counted)[3], 4095n, "all counters of the header");
  same(load(name).outputs(fresh)[3], [fresh.epoch[1], fresh.lamport[1], ...fresh.dense.slice(4), ...fresh.levels.slice(6)]
    .reduce((a, b) => a + b), "those of the new header");
  refused(name, { ...fresh, fresh: [0n] }, /main\.digest/, "another header carried over");
  // With valid signatures, which the header has from the cut before: only the epoch stops fresh = 1, and only that it is
  // no bit stops -1.
  const before = shardOf(named("two shards have paid"), 0);
  const again = { ...carried, fresh: [1n], pick: before.pick, r: before.r, s: before.s };
  refused(name, again, /epochRange/, "the same header again");
  const signed = { ...again, fresh: [P - 1n] };
  refused(name, signed, /^main\.fresh$/, "fresh = -1");
  same(violated(name, signed).length, 1, "rows against fresh = -1");
  refused(name, { ...fresh, s: fresh.s.toReversed() }, /signature\[\d\]/, "signatures exchanged");
  // The supply, signatures aside.
  const unsigned = /signature\[\d\]/;
  for (const place of [0, 1]) {
    for (const change of [1n, -1n]) {
      const supply = fresh.supply.with(place, fresh.supply[place] + change);
      const rows = violated(name, { ...fresh, supply }).filter((signals) => !signals.some((s) => unsigned.test(s)));
      same(rows.length, 1, `supply ${place} + ${change}`);
      check(rows[0].includes("main.supply[0]") && rows[0].includes("main.supply[1]"), `supply: ${rows[0]}`);
    }
  }
  // A number of the new header beyond its width, of each kind: HeaderRanges is asked about it.
  for (const [input, place] of [["epoch", 1], ["supply", 1], ["lamport", 1], ["dense", 7], ["levels", 6]]) {
    const changed = fresh[input].with(place, fresh[input][place] + 2n ** 130n);
    const asked = new RegExp(`\\.ranges\\.${input.replace(/s$/, "")}Range`);
    const found = violated(name, { ...fresh, [input]: changed }).some((signals) => signals.some((s) => asked.test(s)));
    check(found, `${input} has a range`);
  }
  // Each input counts: for digests, leaf, or both.
  for (const [input, part] of [["predecessor", 2], ["state", 2], ["vector", 2], ["links", 2], ["committee", 0]]) {
    for (const i of fresh[input].keys()) {
      const outputs = [old, young, leaf, moved];
      const changed = carried[input].map((value, j) => (j % 2 === i % 2 ? value + 1n : value));
      const others = load(name).outputs({ ...carried, [input]: changed });
      check(others[0] !== outputs[0] && others[1] !== outputs[1], `${input} counts`);
      same(others[2] !== leaf, part === 0, `${input} and the leaf`);
    }
  }
});

// The inputs of CutStep inside a whole statement.
function cutOf(inputs) {
  const { r1cs } = load("statement-1-3-2");
  const w = load("statement-1-3-2").witness(inputs);
  const wireOf = new Map(r1cs.names.flatMap((names, wire) => names.map((name) => [name, wire])));
  const inner = (name) => w[wireOf.get(`main.cut.${name}`)];
  const shards = [0, 1, 2].map((shard) => shardOf(inputs, shard));
  return {
    ...Object.fromEntries(SHARED.map((name) => [name, inputs[name].map(BigInt)])),
    digest: [0, 1, 2].flatMap((i) => [inner(`digest[${i}][0]`), inner(`digest[${i}][1]`)]),
    committeeLeaf: [0, 1, 2].map((i) => inner(`committeeLeaf[${i}]`)),
    moved: [0, 1, 2].map((i) => inner(`moved[${i}]`)),
    epoch: shards.map((shard) => shard.epoch[1]),
    time: shards.map((shard) => shard.dense[4]),
    supply: shards.map((shard) => shard.supply[1]),
    sent: shards.flatMap((shard) => [shard.levels[6], shard.levels[9]]),
    received: shards.flatMap((shard) => [shard.levels[7], shard.levels[10]]),
  };
}

test("CutStep: both states, and number 0", () => {
  const name = "cut-step-1";
  const [second, genesis] = [cutOf(named("two shards have received")), cutOf(named("genesis"))];
  const state = (inputs, number, genesisHash) => {
    const [committeeRoot] = load("ternary-root-1").outputs({ leaf: inputs.committeeLeaf });
    const hash = genesisHash ?? load("genesis-hash").outputs({
      network: inputs.network, file: inputs.file, globalRoot: inputs.genesisRoot, committeeRoot, supply: inputs.total,
      vkHash: inputs.vkHash,
    })[0];
    return (place) => {
      const [globalRoot] = load("ternary-root-1").outputs({ leaf: [0, 1, 2].map((i) => inputs.digest[2 * i + place]) });
      return load("public-state").outputs({
        vkHash: inputs.vkHash, number: mod(number - 1n + BigInt(place)), genesis: hash, globalRoot, committeeRoot,
        supply: inputs.total, epoch: inputs.cutEpoch[place], time: inputs.cutTime[place],
      });
    };
  };
  // Both hashes as an honest prover would have them for these inputs.
  const claimed = (inputs, number = 2n) => {
    const of = state(inputs, number);
    return { ...inputs, number: [number], previous: number === 0n ? [0n] : of(0), current: of(1) };
  };
  same(claimed(second), { ...second, number: [2n] }, "the states of the vector");
  load(name).pinned(second, { most: 10 });
  load(name).pinned(genesis, { most: 10, idle: /inverse/ });
  for (const input of ["previous", "current"]) {
    refused(name, { ...second, [input]: [second[input][0] + 1n] }, new RegExp(`main.${input}$`), input);
  }
  refused(name, { ...genesis, previous: [1n] }, /main\.previous$/, "a state before genesis");
  refused(name, { ...second, number: [3n] }, /main\.(previous|current)$/, "another number");
  load(name).witness(claimed(second, 2n ** 64n - 1n));
  refused(name, claimed(second, 2n ** 64n), /numberRange/, "a number of 65 bits");
  refused(name, claimed(second, P - 1n), /numberRange/, "a number of -1");
  // A supply of 65 bits, and -1.
  for (const total of [2n ** 64n, P - 1n]) {
    const supply = second.supply.with(0, mod(second.supply[0] + total - second.total[0]));
    refused(name, claimed({ ...second, total: [total], supply }), /totalRange/, "a supply of 65 bits");
  }
  refused(name, claimed({ ...second, total: [second.total[0] + 1n] }), /main\.total$/, "a larger supply");
  // Number 0: another root than that of genesis; counters that are not 0.
  refused(name, claimed({ ...genesis, genesisRoot: [5n] }, 0n), /main\.genesisRoot$/, "another root");
  load(name).witness(claimed({ ...second, genesisRoot: [5n] }));
  for (const shard of [0, 1, 2]) {
    const moved = genesis.moved.with(shard, 1n);
    refused(name, claimed({ ...genesis, moved }, 0n), /main\.moved/, "a counter at genesis");
  }
  // Epoch and time are those of the new headers; of which state they are in is for the hash to say.
  for (const [field, from, about] of [["cutEpoch", "epoch", /oldest/], ["cutTime", "time", /newest/]]) {
    const right = second[field][1];
    for (const value of [right + 1n, right - 1n, ...second[from]].filter((value) => value !== right)) {
      refused(name, claimed({ ...second, [field]: second[field].with(1, value) }), about, `${field} ${value}`);
    }
    load(name).witness(claimed({ ...second, [field]: second[field].with(0, 77n) }));
  }
  // One unit more received than sent, hidden from the total by a supply.
  for (let i = 0; i < 6; i++) {
    const open = claimed({ ...second, sent: Array(6).fill(5n), received: Array(6).fill(5n).with(i, 6n),
      supply: [second.total[0] + 1n, 0n, 0n] });
    refused(name, open, /conservation\.triangle/, `more received, ${i}`);
  }
});
