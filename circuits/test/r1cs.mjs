// A rank-1 constraint system: reading, checking, and looking for freedom that it leaves.
//
// A row says <a, w> <b, w> = <c, w> for the wires w, of which wire 0 is 1.

import { readFileSync } from "node:fs";
import { P, inverse, mod } from "./field.mjs";

export class R1cs {
  // file: circom's .r1cs; symbols: its .sym. hints: names of signals that the sources assign by `<--`.
  constructor(file, symbols, hints = new Set()) {
    const bytes = readFileSync(file);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const magic = bytes.toString("latin1", 0, 4);
    if (magic !== "r1cs" || view.getUint32(4, true) !== 1) throw new Error(`${file}: no r1cs file`);
    const number = (at) => {
      let value = 0n;
      for (let i = 3; i >= 0; i--) value = (value << 64n) | view.getBigUint64(at + 8 * i, true);
      return value;
    };
    const sections = new Map();
    for (let at = 12; at < bytes.length; ) {
      const [type, size] = [view.getUint32(at, true), Number(view.getBigUint64(at + 4, true))];
      sections.set(type, at + 12);
      at += 12 + size;
    }
    let at = sections.get(1);
    if (view.getUint32(at, true) !== 32 || number(at + 4) !== P) throw new Error(`${file}: another field`);
    const word = (i) => view.getUint32(at + 36 + 4 * i, true);
    [this.wires, this.outputs] = [word(0), word(1)];
    this.inputs = word(2) + word(3);
    const rows = view.getUint32(at + 60, true);
    at = sections.get(2);
    const combination = () => {
      const terms = [];
      for (let count = view.getUint32((at += 4) - 4, true); count > 0; count--, at += 36) {
        terms.push([view.getUint32(at, true), number(at + 4)]);
      }
      return terms;
    };
    this.rows = Array.from({ length: rows }, () => [combination(), combination(), combination()]);
    this.rowsOf = Array.from({ length: this.wires }, () => []);
    this.rows.forEach((row, i) => {
      for (const wire of new Set(row.flat().map(([wire]) => wire))) this.rowsOf[wire].push(i);
    });
    // The same for factors alone: pairs of row and 0 or 1.
    this.factorsOf = Array.from({ length: this.wires }, () => []);
    this.rows.forEach(([a, b], i) => {
      for (const [wire] of a) this.factorsOf[wire].push([i, 0]);
      for (const [wire] of b) this.factorsOf[wire].push([i, 1]);
    });
    this.names = Array.from({ length: this.wires }, () => []);
    for (const line of readFileSync(symbols, "utf8").trim().split("\n")) {
      const [, wire, , name] = line.split(",");
      if (Number(wire) > 0) this.names[Number(wire)].push(name);
    }
    // The last part of a name, without indices, is the name in the source.
    const plain = (name) => name.slice(name.lastIndexOf(".") + 1).replace(/\[.*/, "");
    this.isHint = this.names.map((names) => names.some((name) => hints.has(plain(name))));
    this.firstInput = 1 + this.outputs;
    this.firstInner = this.firstInput + this.inputs;
  }

  isInput(wire) {
    return wire === 0 || (wire >= this.firstInput && wire < this.firstInner);
  }

  // An unknown wire counts as 0: `solve` asks only where it has no effect.
  sum(terms, w) {
    let total = 0n;
    for (const [wire, factor] of terms) if (w[wire] !== undefined) total += factor * w[wire];
    return total % P;
  }

  holds(i, w) {
    const [a, b, c] = this.rows[i];
    return (this.sum(a, w) * this.sum(b, w) - this.sum(c, w)) % P === 0n;
  }

  // The rows that do not hold.
  violated(w) {
    return [...this.rows.keys()].filter((i) => !this.holds(i, w));
  }

  // Whether some row notices that a wire has another value.
  notices(w, wire, value) {
    const kept = w[wire];
    w[wire] = value;
    const noticed = this.rowsOf[wire].some((i) => !this.holds(i, w));
    w[wire] = kept;
    return noticed;
  }

  // The row as a polynomial in one wire, the others known or without effect: [constant, factor, factor of the square].
  polynomial(i, wire, w) {
    const [a, b, c] = this.rows[i].map((terms) => {
      let [constant, factor] = [0n, 0n];
      for (const [other, coefficient] of terms) {
        if (other === wire) factor += coefficient;
        else if (w[other] !== undefined) constant += coefficient * w[other];
      }
      return [constant % P, factor];
    });
    return [mod(a[0] * b[0] - c[0]), mod(a[0] * b[1] + a[1] * b[0] - c[1]), mod(a[1] * b[1])];
  }

  // The unknown wires of a row that have an effect: not those of a factor whose other factor is known to be 0.
  effective(i, w) {
    const open = (terms) => terms.map(([wire]) => wire).filter((wire) => w[wire] === undefined);
    const [a, b, c] = this.rows[i].map(open);
    const isZero = (known, terms) => known.length === 0 && this.sum(terms, w) === 0n;
    const idle = isZero(a, this.rows[i][0]) || isZero(b, this.rows[i][1]);
    return new Set(idle ? c : [...a, ...b, ...c]);
  }

  // Computes wires from the inputs by rows that are linear in their one unknown wire. Where there is none left,
  // choose(wire, roots) is asked for the value of a hint: first of one with a row that is quadratic in it alone, and
  // then roots is a function giving the other root for a root; otherwise of the lowest unknown one, with null.
  // Returns {w, violated: rows of known wires that do not hold, choices: wires chosen}. Stops early if `strict` and one
  // fails. Rows in `without` are left out.
  solve(inputs, choose, strict = false, without = new Set()) {
    const w = new Array(this.wires).fill(undefined);
    const unknown = this.rows.map((row) => new Set(row.flat().map(([wire]) => wire)));
    const [violated, choices, ready] = [[], [], []];
    // Rows of which one factor has just become known: others' unknown wires may be without effect.
    const touched = new Set();
    const open = this.rows.map((row) => row.map((terms) => terms.length));
    const quadratic = new Map();
    const set = (wire, value) => {
      w[wire] = mod(value);
      for (const i of this.rowsOf[wire]) {
        unknown[i].delete(wire);
        if (unknown[i].size <= 1) ready.push(i);
      }
      for (const [i, factor] of this.factorsOf[wire]) if (--open[i][factor] === 0) touched.add(i);
    };
    set(0, 1n);
    inputs.forEach((value, i) => set(this.firstInput + i, value));
    this.rows.forEach((_, i) => unknown[i].size <= 1 && ready.push(i));
    let next = 1;
    for (;;) {
      while (ready.length > 0) {
        const i = ready.pop();
        if (without.has(i)) continue;
        if (unknown[i].size === 0) {
          if (!this.holds(i, w)) {
            violated.push(i);
            if (strict) return { w, violated, choices };
          }
          continue;
        }
        const [wire] = unknown[i];
        const [constant, factor, square] = this.polynomial(i, wire, w);
        if (square !== 0n) {
          if (!quadratic.has(wire)) quadratic.set(wire, i);
        }
        else if (factor !== 0n) set(wire, -constant * inverse(factor));
        else if (constant !== 0n) {
          violated.push(i);
          if (strict) return { w, violated, choices };
        }
      }
      for (const i of touched) {
        if (unknown[i].size < 2) continue;
        unknown[i] = this.effective(i, w);
        if (unknown[i].size <= 1) ready.push(i);
      }
      touched.clear();
      if (ready.length > 0) continue;
      while (next < this.wires && w[next] !== undefined) next++;
      if (next === this.wires) break;
      // Two-valued hints first: what remains then is without effect, or a defect.
      for (const two of quadratic.keys()) {
        if (w[two] === undefined) break;
        quadratic.delete(two);
      }
      let [wire] = quadratic.keys();
      if (wire === undefined) {
        for (wire = next; wire < this.wires && (w[wire] !== undefined || !this.isHint[wire]); ) wire++;
        if (wire === this.wires) throw new Error(`nothing determines ${this.names[next]}`);
      }
      let other = null;
      if (quadratic.has(wire)) {
        const [, factor, square] = this.polynomial(quadratic.get(wire), wire, w);
        other = (root) => mod(-factor * inverse(square) - root);
      }
      choices.push(wire);
      set(wire, choose(wire, other));
    }
    return { w, violated: [...new Set(violated)], choices };
  }

  // All solutions for given inputs, for circuits whose only choices are roots of quadratic rows of which one root is
  // known to `root(wire)`. A wire that no row binds is not searched: it is in `free`.
  solutions(inputs, root) {
    const found = [];
    const search = (path) => {
      let depth = 0;
      const [free, asked] = [[], []];
      const { w, violated } = this.solve(
        inputs,
        (wire, other) => {
          if (other === null) {
            free.push(wire);
            return 0n;
          }
          const first = root(wire);
          const second = other(first);
          asked.push(first !== second);
          return path[depth++] === 1 ? second : first;
        },
        true,
      );
      if (violated.length === 0) found.push({ w, free });
      for (let i = asked.length - 1; i >= path.length; i--) {
        if (asked[i]) search([...path, ...new Array(i - path.length).fill(0), 1]);
      }
    };
    search([]);
    return found;
  }

  // The wires that can move, to first order, with the inputs held: those that the Jacobian of all rows at w does not
  // determine.
  movable(w) {
    const rows = this.rows.map(([a, b, c]) => {
      const [left, right] = [this.sum(a, w), this.sum(b, w)];
      const row = new Map();
      const put = (terms, scale) => {
        for (const [wire, factor] of terms) {
          if (!this.isInput(wire)) row.set(wire, mod((row.get(wire) ?? 0n) + factor * scale));
        }
      };
      put(a, right);
      put(b, left);
      put(c, -1n);
      for (const [wire, factor] of row) if (factor === 0n) row.delete(wire);
      return row;
    });
    // Rows with one unknown determine it; the rest, if any, by elimination.
    const rowsOf = Array.from({ length: this.wires }, () => []);
    rows.forEach((row, i) => row.forEach((_, wire) => rowsOf[wire].push(i)));
    const open = new Set();
    for (let wire = 1; wire < this.wires; wire++) if (!this.isInput(wire)) open.add(wire);
    const single = [...rows.keys()].filter((i) => rows[i].size === 1);
    while (single.length > 0) {
      const [wire] = rows[single.pop()].keys();
      if (wire === undefined || !open.delete(wire)) continue;
      for (const i of rowsOf[wire]) {
        rows[i].delete(wire);
        if (rows[i].size === 1) single.push(i);
      }
    }
    const pivots = [];
    for (let row of rows.filter((row) => row.size > 0)) {
      for (const [wire, pivot] of pivots) {
        const factor = row.get(wire);
        if (factor === undefined) continue;
        for (const [other, value] of pivot) {
          const result = mod((row.get(other) ?? 0n) - factor * value);
          if (result === 0n) row.delete(other);
          else row.set(other, result);
        }
      }
      if (row.size === 0) continue;
      const [wire, value] = row.entries().next().value;
      const scale = inverse(value);
      pivots.push([wire, new Map([...row].map(([other, factor]) => [other, mod(factor * scale)]))]);
    }
    // Back substitution: a pivot is determined iff what it leans on is.
    const determined = new Set();
    for (const [wire, pivot] of pivots.reverse()) {
      if ([...pivot.keys()].every((other) => other === wire || determined.has(other))) determined.add(wire);
    }
    return [...open].filter((wire) => !determined.has(wire));
  }
}
