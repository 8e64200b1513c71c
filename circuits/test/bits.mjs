// bits.circom and compare.circom: every solution for small widths, borders and forgeries for large ones.

import { P, generator } from "./field.mjs";
import { borders, check, elements, load, same, test } from "./harness.mjs";

const bitsOf = (value, n) => Array.from({ length: n }, (_, i) => (value >> BigInt(i)) & 1n);
const NEAR = [P - 1n, P - 2n, P - 63n, P - 64n, P - 65n, (P - 1n) / 2n, (P + 1n) / 2n];
const small = (count) => [...Array(count).keys()].map(BigInt);

test("Range: exactly the numbers below 2^n have a witness, and one", () => {
  for (const value of [...small(140), ...NEAR, ...elements(20, 1)]) {
    same(load("range-6").solutions({ in: value }).length, value < 64n ? 1 : 0, `range-6 of ${value}`);
    same(load("range-1").solutions({ in: value }).length, value < 2n ? 1 : 0, `range-1 of ${value}`);
  }
  for (const n of [64, 253]) {
    const range = load(`range-${n}`);
    for (const value of borders(n)) range.pinned({ in: value });
    for (const value of [1n << BigInt(n), (1n << BigInt(n)) + 1n, P - 1n, P - (1n << BigInt(n - 1))]) {
      range.refuses({ in: value });
      // The value's own bits, and those of its difference from p.
      for (const bits of [value, P - value]) {
        const guess = (name) => (bits >> BigInt(1 + Number(/\[(\d+)\]/.exec(name)[1]))) & 1n;
        check(range.forged({ in: value }, [], guess) > 0, `range-${n} accepts ${value}`);
      }
    }
  }
});

test("ToBits: the bits, and no others", () => {
  for (const value of [...small(140), ...NEAR, ...elements(20, 2)]) {
    same(load("to-bits-6").solutions({ in: value }), value < 64n ? [bitsOf(value, 6)] : [], `to-bits-6 of ${value}`);
  }
  for (const value of borders(253)) {
    same(load("to-bits-253").pinned({ in: value }).slice(1, 254), bitsOf(value, 253), `bits of ${value}`);
  }
  load("to-bits-253").refuses({ in: 1n << 253n });
  for (const value of small(64)) same(load("from-bits-6").outputs({ in: bitsOf(value, 6) }), [value], "from-bits-6");
  load("from-bits-6").pinned({ in: [1, 0, 1, 1, 0, 1] });
});

test("ToBitsCanonical: one row of bits for every element", () => {
  const canonical = load("to-bits-canonical");
  const edge = (1n << 254n) - P;
  for (const value of [...elements(3, 3), P - 2n, edge, edge - 1n, P >> 1n, 1n << 253n]) {
    const honest = canonical.pinned({ in: value }, { idle: /ratio/, most: 60 });
    same(honest.slice(1, 255), bitsOf(value, 254), `bits of ${value}`);
    if (value < edge) {
      // The bits of in + p have the right sum. Only the bound stands against them.
      canonical.stoppedByBound({ in: value }, honest, (name) => {
        const place = /out\[(\d+)\]/.exec(name);
        return place ? ((value + P) >> BigInt(place[1])) & 1n : undefined;
      });
    }
  }
});

test("DigitsBound: exactly the numbers on the right side of c", () => {
  for (const value of small(64)) {
    const digit = bitsOf(value, 6);
    const signs = digit.map((bit) => (bit ? 5n : -5n));
    for (const [name, inputs, accepted] of [
      ["digits-at-most-38-of-6", { digit, unit: 1 }, value <= 38n],
      ["digits-at-least-21-of-6", { digit, unit: 1 }, value >= 21n],
      ["signs-at-most-40-of-6", { digit: signs, unit: 5 }, value <= 40n],
    ]) {
      same(load(name).solutions(inputs).length, accepted ? 1 : 0, `${name} of ${value}`);
      if (accepted) load(name).pinned(inputs, { idle: /ratio/ });
      else load(name).refuses(inputs);
    }
  }
});

test("IsZero, IsEqual, NotZero, Choose", () => {
  for (const value of elements(10, 4)) {
    const zero = value === 0n;
    same(load("is-zero").solutions({ in: value }), [[zero ? 1n : 0n]], `is-zero of ${value}`);
    load("is-zero").pinned({ in: value }, zero ? { idle: /inverse/ } : {});
    for (const other of [value, value + 1n, 0n]) {
      const equal = (other - value) % P === 0n;
      same(load("is-equal").solutions({ a: value, b: other }), [[equal ? 1n : 0n]], `is-equal of ${value}, ${other}`);
    }
    same(load("not-zero").solutions({ in: value }).length, zero ? 0 : 1, `not-zero of ${value}`);
    if (zero) load("not-zero").refuses({ in: value });
    else load("not-zero").pinned({ in: value });
    for (const bit of [0n, 1n]) {
      same(load("choose").solutions({ bit, on: value, off: 7n }), [[bit ? value : 7n]], `choose by ${bit}`);
    }
  }
});

test("LessThan, AssertAtMost, AssertLess: all pairs of 4 bits", () => {
  for (const a of small(16)) {
    for (const b of small(16)) {
      same(load("less-than-4").solutions({ a, b }), [[a < b ? 1n : 0n]], `${a} < ${b}`);
      load("less-than-4").pinned({ a, b });
      same(load("assert-at-most-4").solutions({ a, b }).length, a <= b ? 1 : 0, `${a} <= ${b}`);
      same(load("assert-less-4").solutions({ a, b }).length, a < b ? 1 : 0, `assert ${a} < ${b}`);
    }
  }
});

test("LessThan, AssertAtMost, AssertLess: wide numbers", () => {
  const random = generator(5);
  for (const [name, n] of [["less-than-8", 8], ["less-than-252", 252]]) {
    const some = [...borders(n), random.below(1n << BigInt(n))];
    for (const a of some) {
      for (const b of some) {
        const out = a < b ? 1n : 0n;
        const honest = load(name).pinned({ a, b }, { most: 8 });
        same(honest[1], out, `${name}: ${a} < ${b}`);
        // The other answer, with the bits that would go with it.
        const number = (a - b + ((1n - out) << BigInt(n)) + P) % P;
        const rows = load(name).forged({ a, b }, honest, (wire) => {
          const place = /bit\[(\d+)\]/.exec(wire);
          return place ? (number >> BigInt(Number(place[1]) + 1)) & 1n : 1n - out;
        });
        check(rows > 0, `${name} says both of ${a}, ${b}`);
      }
    }
  }
  for (const a of borders(64)) {
    for (const b of borders(64)) {
      if (a <= b) load("assert-at-most-64").pinned({ a, b }, { most: 8 });
      else load("assert-at-most-64").refuses({ a, b });
      if (a < b) load("assert-less-64").pinned({ a, b }, { most: 8 });
      else load("assert-less-64").refuses({ a, b });
    }
  }
});
