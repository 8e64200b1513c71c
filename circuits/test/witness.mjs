// Runs the witness program that circom writes (WebAssembly, its interface of version 2).

import { readFileSync } from "node:fs";
import { mod } from "./field.mjs";

const ERRORS = [
  "", "signal not found", "too many signals set", "signal already set", "assertion failed", "not enough memory",
  "wrong array size",
];

// FNV-1a, 64 bits: how the program finds an input by its name.
function nameHash(name) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(name)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return [Number(hash >> 32n), Number(hash & 0xffffffffn)];
}

export class WitnessProgram {
  constructor(file) {
    this.module = new WebAssembly.Module(readFileSync(file));
  }

  // inputs: {name: number or nested arrays of numbers}. Returns all wires; throws where an assertion of the program
  // fails.
  compute(inputs) {
    const runtime = {
      exceptionHandler: (code) => {
        throw new Error(`witness: ${ERRORS[code] ?? code}`);
      },
      printErrorMessage: () => {},
      writeBufferMessage: () => {},
      showSharedRWMemory: () => {},
    };
    const { exports } = new WebAssembly.Instance(this.module, { runtime });
    exports.init(1);
    const words = exports.getFieldNumLen32();
    let set = 0;
    for (const [name, value] of Object.entries(inputs)) {
      const [high, low] = nameHash(name);
      const flat = [value].flat(Infinity);
      if (flat.length === 0) continue;
      if (exports.getInputSignalSize(high, low) !== flat.length) throw new Error(`input ${name} has another size`);
      flat.forEach((element, i) => {
        const number = mod(BigInt(element));
        const word = (j) => Number((number >> BigInt(32 * j)) & 0xffffffffn);
        for (let j = 0; j < words; j++) exports.writeSharedRWMemory(j, word(j));
        exports.setInputSignal(high, low, i);
        set++;
      });
    }
    if (set !== exports.getInputSize()) throw new Error(`${set} inputs given, ${exports.getInputSize()} needed`);
    return Array.from({ length: exports.getWitnessSize() }, (_, i) => {
      exports.getWitness(i);
      let value = 0n;
      for (let j = words - 1; j >= 0; j--) value = (value << 32n) | BigInt(exports.readSharedRWMemory(j) >>> 0);
      return value;
    });
  }
}
