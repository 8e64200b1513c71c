// babyjub.circom against the curve's definition: every kind of point, the borders of scalars, and forgeries.

import {
  BASE8, L, P, add, generator, mod, montgomery, multiply, negate, onCurve, torsion,
} from "./field.mjs";
import { check, load, same, test } from "./harness.mjs";

const random = generator(7);
const someKey = () => multiply(random.below(L - 1n) + 1n, BASE8);
const point = ([x, y]) => ({ x, y });

test("OnCurve: the curve and nothing else", () => {
  for (const good of [...torsion(), BASE8, someKey(), add(someKey(), torsion()[1])]) {
    load("on-curve").pinned(point(good));
    const [x, y] = good;
    for (const bad of [[x, y + 1n], [x + 1n, y], [y, x], [0n, 0n], [random.element(), random.element()]]) {
      if (onCurve(bad.map((value) => mod(value)))) continue;
      load("on-curve").refuses(point(bad));
      same(load("on-curve").solutions(point(bad)).length, 0, `on-curve ${bad}`);
    }
  }
});

test("EdwardsAdd, EdwardsDouble: all kinds of points, one solution each", () => {
  const points = [...torsion(), BASE8, someKey(), add(someKey(), torsion()[3])];
  for (const one of points) {
    for (const two of [...points, negate(one)]) {
      const inputs = { x1: one[0], y1: one[1], x2: two[0], y2: two[1] };
      load("edwards-add").pinned(inputs);
      same(load("edwards-add").solutions(inputs), [add(one, two)], `${one} + ${two}`);
    }
    const inputs = { x1: one[0], y1: one[1], squareX: mod(one[0] * one[0]), squareY: mod(one[1] * one[1]) };
    load("edwards-double").pinned(inputs);
    same(load("edwards-double").solutions(inputs), [add(one, one)], `2 ${one}`);
  }
});

test("KeyTimesFour: keys of order l, 2 l, 4 l, 8 l; no others", () => {
  const key = load("key-times-four");
  for (const twist of torsion()) {
    const good = add(someKey(), twist);
    const four = multiply(4n, good);
    key.pinned({ ax: good[0], ay: good[1] });
    same(key.solutions({ ax: good[0], ay: good[1] }), [[...four, ...montgomery(four)]], "4 A");
    // A small order, and no point at all: no witness, whatever the hints.
    for (const bad of [twist, [good[0], good[1] + 1n], [0n, 0n], [1n, 0n], [random.element(), random.element()]]) {
      key.refuses({ ax: bad[0], ay: bad[1] });
      same(key.solutions({ ax: bad[0], ay: bad[1] }).length, 0, `key ${bad}`);
    }
  }
});

const digit = (name, value) => {
  const place = /bits\.out\[(\d+)\]|bound\.digit\[(\d+)\]/.exec(name);
  return place ? (value >> BigInt(place[1] ?? place[2])) & 1n : undefined;
};

test("BaseTimes: scalars below l", () => {
  const base = load("base-times");
  const top = 1n << 250n;
  // The last addition meets equal, opposite and neutral points here, and the sums of all windows their extremes.
  const meeting = (2n * top - L - 1n) / 2n;
  const scalars = [0n, 1n, 2n, L - 1n, L - 2n, top, top - 1n, L - top, meeting, top + meeting];
  scalars.push((L - 1n) / 2n, (L + 1n) / 2n, top / 2n, random.below(L), random.below(L));
  for (const scalar of scalars) {
    if (scalar >= L) continue;
    same(base.outputs({ scalar }), multiply(scalar, BASE8), `${scalar} B8`);
  }
  for (const scalar of [0n, L - 1n, random.below(L)]) base.pinned({ scalar }, { idle: /ratio/, most: 60 });
});

test("BaseTimes: no scalar from l on", () => {
  const base = load("base-times");
  const honest = base.witness({ scalar: 5n });
  for (const scalar of [L, L + 1n, L + 5n, (1n << 251n) - 1n]) {
    base.refuses({ scalar });
    // Its own bits fit everywhere but in the bound.
    base.stoppedByBound({ scalar }, honest, (name) => digit(name, scalar));
  }
  for (const scalar of [1n << 251n, P - 1n, P - L, random.below(P - (1n << 251n)) + (1n << 251n)]) {
    base.refuses({ scalar });
    check(base.forged({ scalar }, honest, (name) => digit(name, scalar)) > 0, `base-times takes ${scalar}`);
  }
});

const LOW = 12n * L - (1n << 254n);
const challenges = [4n, 5n, 1n << 10n, (1n << 10n) + 1n, P - 1n, P - 2n, L + 999n, L - 999n, 8n * L - P, P >> 1n];

// Where there is no witness, as the template's header says it: for a point of order l, and of order 2 l (then fewer).
function isUndefined(challenge, twice = false) {
  const number = challenge + 12n * L;
  for (let i = 0n; i < 254n; i++) {
    const rest = (number >> i) % L;
    if ((rest === (L - 1n) / 2n && (i === 0n || !twice)) || (i > 0n && (rest === 0n || rest === L - 1n))) return true;
  }
  return false;
}

test("MinusKeyTimesOdd: challenges and points of order l and 2 l", () => {
  const chain = load("minus-key-times-odd");
  for (const base of [someKey(), add(someKey(), torsion()[4]), BASE8, add(BASE8, torsion()[4])]) {
    const [u, v] = montgomery(base);
    for (const challenge of [...challenges, random.element()]) {
      const want = negate(multiply(2n * (challenge + 12n * L) + 1n, base));
      same(chain.outputs({ challenge, u, v }), want, `challenge ${challenge}`);
    }
  }
  const [u, v] = montgomery(someKey());
  for (const challenge of [1n << 10n, P - 1n, random.element()]) {
    chain.pinned({ challenge, u, v }, { idle: /ratio/, most: 40 });
  }
});

test("MinusKeyTimesOdd: a challenge has one row of bits", () => {
  const chain = load("minus-key-times-odd");
  const [u, v] = montgomery(someKey());
  let forgeries = 0;
  for (const challenge of [...challenges, P - 999n, P - (1n << 100n)]) {
    const honest = chain.witness({ challenge, u, v });
    for (const number of [challenge + LOW - P, challenge + LOW + P]) {
      // A forger gains nothing from numbers that the chain cannot take.
      if (number < 0n || number >= 1n << 254n || isUndefined(number - LOW)) continue;
      forgeries++;
      // All steps, the sum and the end go through.
      chain.stoppedByBound({ challenge, u, v }, honest, (name) => {
        const place = /main\.sign\[(\d+)\]/.exec(name);
        return place ? ((number >> BigInt(place[1])) & 1n ? v : P - v) : undefined;
      });
    }
  }
  check(forgeries >= 4, `only ${forgeries} forgeries tried`);
});

for (const twice of [false, true]) {
  test(`MinusKeyTimesOdd: where a chord is undefined there is no witness, order ${twice ? "2 l" : "l"}`, () => {
    const chain = load("minus-key-times-odd");
    const base = twice ? add(someKey(), torsion()[4]) : someKey();
    const [u, v] = montgomery(base);
    const honest = chain.witness({ challenge: 1n << 10n, u, v });
    // All multiples of l / 2 that a shifted number can be, and what is near them.
    const near = new Set();
    for (let k = 1n; k < 42n; k++) {
      for (let i = 0n; i < 7n; i++) {
        for (const offset of [-1n, 0n, 1n]) {
          for (let low = 0n; low < 1n << i; low++) near.add((((k * L) / 2n + offset) << i) + low - 12n * L);
        }
      }
    }
    let [undefinedCount, tried] = [0, 0];
    for (const challenge of [...near].filter((value) => value >= 0n && value < P)) {
      const number = challenge + LOW;
      if (!isUndefined(challenge, twice)) {
        const want = negate(multiply(2n * (challenge + 12n * L) + 1n, base));
        if (tried++ % 6 === 0) same(chain.outputs({ challenge, u, v }), want, `${challenge}`);
        continue;
      }
      undefinedCount++;
      chain.refuses({ challenge, u, v });
      // An attacker fills an undefined slope with something and goes on.
      const rows = chain.forged({ challenge, u, v }, honest, (name) => {
        const place = /main\.sign\[(\d+)\]/.exec(name);
        return place ? ((number >> BigInt(place[1])) & 1n ? v : P - v) : undefined;
      });
      check(rows > 0, `an undefined chord is accepted for ${challenge}`);
    }
    const want = twice ? 52 : 60;
    check(undefinedCount === want && tried > 100, `${undefinedCount} undefined, ${tried} defined`);
  });
}
