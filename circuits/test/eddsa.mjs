// eddsa.circom against circomlibjs' signatures and verdicts, those of smt-types, circomlib's circuit, and forgeries.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BASE8, L, NEUTRAL, P, add, equal, generator, mod, multiply, onCurve, torsion, unpack } from "./field.mjs";
import { check, home, load, same, test } from "./harness.mjs";
import { circomlib } from "./poseidon.mjs";

const random = generator(11);
const little = (hex) => BigInt("0x" + Buffer.from(hex, "hex").reverse().toString("hex"));
const verifier = () => load("eddsa-poseidon");
const hash = (...elements) => load("poseidon-5").outputs({ in: elements })[0];

// The rule itself.
function isValid({ ax, ay, rx, ry, s, message }) {
  const [a, r] = [[ax, ay], [rx, ry]];
  if (!onCurve(a) || !onCurve(r) || s >= L) return false;
  const a8 = multiply(8n, a);
  return !equal(a8, NEUTRAL) && equal(multiply(s, BASE8), add(r, multiply(hash(rx, ry, ax, ay, message), a8)));
}

function sign(secret, message, twist = NEUTRAL, rTwist = NEUTRAL) {
  const [ax, ay] = add(multiply(secret, BASE8), twist);
  const nonce = random.below(L);
  const [rx, ry] = add(multiply(nonce, BASE8), rTwist);
  return { ax, ay, rx, ry, s: mod(nonce + 8n * secret * hash(rx, ry, ax, ay, message), L), message };
}

// The circuit decides as the rule does.
function agrees(signature, what) {
  if (isValid(signature)) verifier().witness({ enabled: 1, ...signature });
  else verifier().refuses({ enabled: 1, ...signature });
  return isValid(signature) ? what : null;
}

test("EdDSAPoseidon: signatures and verdicts of circomlibjs", () => {
  const vectors = JSON.parse(readFileSync(join(home, "../consensus/types/vectors/babyjub.json"), "utf8"));
  let [valid, invalid] = [0, 0];
  const signed = vectors.signatures.map((row) => ({ ...row, what: "signed", valid: true }));
  for (const row of [...signed, ...vectors.verdicts]) {
    const [a, r] = [unpack(row.public), unpack(row.signature.slice(0, 64))];
    check(a !== null && r !== null, `${row.what}: no points`);
    const [s, message] = [little(row.signature.slice(64)), BigInt(row.message)];
    const signature = { ax: a[0], ay: a[1], rx: r[0], ry: r[1], s, message };
    same(isValid(signature), row.valid, `${row.what}: the reference`);
    agrees(signature, row.what) ? valid++ : invalid++;
  }
  check(valid >= 12 && invalid >= 5, `${valid} valid, ${invalid} invalid`);
});

test("EdDSAPoseidon: decides as the rule does, on every kind of key and R", () => {
  let accepted = 0;
  for (const twist of torsion()) {
    const secret = random.below(L - 1n) + 1n;
    const good = sign(secret, random.element(), twist);
    accepted += agrees(good, "valid") ? 1 : 0;
    for (const change of [
      { message: mod(good.message + 1n) }, { s: mod(good.s + 1n, L) }, { s: good.s + L }, { s: good.s + 2n * L },
      { s: mod(good.s - L) }, { rx: mod(-good.rx) }, { ry: mod(-good.ry) }, { ax: mod(-good.ax) },
      { rx: good.ry, ry: good.rx }, { rx: mod(good.rx + 1n) }, { ay: mod(good.ay + 1n) },
      { ax: 0n, ay: 1n }, { ax: 0n, ay: P - 1n }, { ax: 0n, ay: 0n }, { rx: 0n, ry: 1n },
    ]) {
      check(agrees({ ...good, ...change }, "changed") === null, `accepted with ${Object.keys(change)}`);
    }
    // R with torsion satisfies the equation only up to it.
    check(equal(twist, NEUTRAL) === (agrees(sign(secret, 5n, NEUTRAL, twist), "R") !== null), "R plus torsion");
    // A key of small order verifies everything with R = s B8.
    const [rx, ry] = multiply(77n, BASE8);
    check(agrees({ ax: twist[0], ay: twist[1], rx, ry, s: 77n, message: 1n }, "small") === null, "key of small order");
  }
  same(accepted, 8, "accepted");
  for (const message of [0n, 1n, P - 1n]) check(agrees(sign(random.below(L), message), "border"), `message ${message}`);
  check(agrees(sign(1n, 3n), "one") && agrees(sign(L - 1n, 3n), "last"), "smallest and largest key");
});

test("EdDSAPoseidon: both coordinates of R are compared", () => {
  // A signer who hashes another R than the one that s fits.
  const [secret, nonce] = [random.below(L), random.below(L)];
  const [ax, ay] = multiply(secret, BASE8);
  const [x, y] = multiply(nonce, BASE8);
  for (const [rx, ry] of [[x, y], [mod(-x), y], [0n, y], [random.element(), y], [x, 0n], [x, random.element()]]) {
    const message = 6n;
    const s = mod(nonce + 8n * secret * hash(rx, ry, ax, ay, message), L);
    const accepted = agrees({ ax, ay, rx, ry, s, message }, "R") !== null;
    check(accepted === (rx === x && ry === y), `R as (${rx}, ${ry})`);
  }
});

test("EdDSAPoseidon: s in [l, 2^251) is stopped by its bound alone", () => {
  // Valid signatures with small s have a second s with the same point.
  let small = sign(3n, 1n);
  while (small.s + L >= 1n << 251n) small = sign(3n, random.element());
  const honest = verifier().witness({ enabled: 1, ...small });
  const s = small.s + L;
  verifier().refuses({ enabled: 1, ...small, s });
  verifier().stoppedByBound({ enabled: 1, ...small, s }, honest, (name) => {
    const place = /main\.base\.bits\.out\[(\d+)\]/.exec(name);
    return place ? (s >> BigInt(place[1])) & 1n : undefined;
  });
});

test("EdDSAPoseidon: disabled it takes any R and message, and still no bad key or s", () => {
  const { ax, ay } = sign(99n, 1n);
  const free = { enabled: 0, ax, ay, rx: 0, ry: 0, s: 0, message: 7 };
  verifier().witness(free);
  verifier().refuses({ ...free, enabled: 1 });
  verifier().refuses({ ...free, enabled: 2 });
  verifier().refuses({ ...free, ax: 1 });
  verifier().refuses({ ...free, s: L });
});

test("EdDSAPoseidon: no signal may be another", () => {
  verifier().pinned({ enabled: 1, ...sign(1234567n, 42n) }, { idle: /ratio/, most: 12 });
  verifier().pinned({ enabled: 0, ...sign(random.below(L), 0n), rx: 3n }, { idle: /ratio/, most: 4 });
});

test("EdDSAPoseidon: circomlib accepts and refuses the same, with more rows", () => {
  const other = circomlib("circomlib-eddsa", "eddsaposeidon.circom", "EdDSAPoseidonVerifier()");
  const rows = [verifier().r1cs.rows.length, other.r1cs.rows.length];
  check(rows[0] < rows[1], `${rows[0]} rows, circomlib ${rows[1]}`);
  const theirs = (own) => ({
    enabled: 1, Ax: own.ax, Ay: own.ay, R8x: own.rx, R8y: own.ry, S: own.s, M: own.message,
  });
  for (let i = 0; i < 4; i++) {
    const good = sign(random.below(L), random.element());
    other.witness(theirs(good));
    verifier().witness({ enabled: 1, ...good });
    for (const bad of [{ ...good, s: good.s + L }, { ...good, message: good.message + 1n }, { ...good, rx: good.ry }]) {
      other.refuses(theirs(bad));
      verifier().refuses({ enabled: 1, ...bad });
    }
  }
  return rows;
});
