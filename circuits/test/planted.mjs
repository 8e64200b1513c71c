// Do the tests see anything? Every row of the library is taken out once, every product that is assigned is left
// unchecked once, every range is asked about 0 and every bound weakened once, and parts are given the previous header
// for the new one; each time the tests of that template must fail.
//
//   node planted.mjs BUILD MODULES [part of a line]

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { circom } from "../circom.mjs";
import { build, check, filter, home, modules } from "./harness.mjs";

const HASHES = [1, 2, 3, 4, 5, 6, 12].map((n) => `poseidon-${n}`);
HASHES.push(...[1, 11, 12, 23].map((n) => `poseidon-many-${n}`));
const TREES = ["ternary-root-1", "ternary-root-2", "ternary-path-1", "ternary-path-2", "ternary-sum-node"];

// Template: what is compiled for its tests, and the part of their names.
const TESTS = {
  Range: [["range-1", "range-6", "range-64", "range-253"], "Range: exactly"],
  ToBits: [["to-bits-6", "to-bits-253", "from-bits-6"], "ToBits:"],
  FromBits: [["to-bits-6", "to-bits-253", "from-bits-6"], "ToBits:"],
  DigitsBound: [["digits-at-most-38-of-6", "digits-at-least-21-of-6", "signs-at-most-40-of-6"], "DigitsBound"],
  ToBitsCanonical: [["to-bits-canonical"], "ToBitsCanonical"],
  IsZero: [["is-zero", "is-equal", "not-zero", "choose"], "IsZero"],
  IsEqual: [["is-zero", "is-equal", "not-zero", "choose"], "IsZero"],
  NotZero: [["is-zero", "is-equal", "not-zero", "choose"], "IsZero"],
  Choose: [["is-zero", "is-equal", "not-zero", "choose"], "IsZero"],
  LessThan: [["less-than-4", "assert-at-most-4", "assert-less-4"], "LessThan, AssertAtMost, AssertLess: all"],
  PoseidonState: [HASHES, "Poseidon, PoseidonMany"],
  PoseidonMany: [HASHES, "Poseidon, PoseidonMany"],
  OnCurve: [["on-curve"], "OnCurve"],
  EdwardsAdd: [["edwards-add", "edwards-double"], "EdwardsAdd"],
  EdwardsDouble: [["edwards-add", "edwards-double"], "EdwardsAdd"],
  KeyTimesFour: [["key-times-four"], "KeyTimesFour"],
  BaseTimes: [["base-times"], "BaseTimes"],
  MinusKeyTimesOdd: [["minus-key-times-odd"], "MinusKeyTimesOdd"],
  EdDSAPoseidon: [["eddsa-poseidon", "poseidon-5"], "both coordinates"],
  TernaryRoot: [TREES, "TernaryRoot, TernaryPath"],
  TernaryPath: [["ternary-path-1"], "TernaryPath: no place"],
  TernarySumNode: [TREES, "TernaryRoot, TernaryPath"],
  Quorum: [["quorum-3-2"], "Quorum:"],
  HeaderRanges: [["header-ranges-1"], "HeaderRanges:"],
  AssertAtMost: [["less-than-4", "assert-at-most-4", "assert-less-4"], "LessThan, AssertAtMost, AssertLess: all"],
  AssertLess: [["less-than-4", "assert-at-most-4", "assert-less-4"], "LessThan, AssertAtMost, AssertLess: all"],
  AssertLeast: [["assert-least-3-of-4"], "AssertLeast:"],
  PublicState: [["public-state", "genesis-hash"], "PublicState,"],
  GenesisHash: [["public-state", "genesis-hash"], "PublicState,"],
  bitsOfShards: [["conservation-2"], "Conservation: triangles and total, height 2"],
  Triangle: [["triangle-4"], "Triangle:"],
  Conservation: [["conservation-2"], "Conservation: triangles and total, height 2"],
  NotLower: [["not-lower-1"], "NotLower:"],
  ShardStep: [["shard-step-1-3-2"], "ShardStep:"],
  CutStep: [["statement-1-3-2", "cut-step-1", "public-state", "genesis-hash", "ternary-root-1"], "CutStep:"],
  Statement: [["statement-1-3-2"], "statements of statement-1-3-2: accepted"],
  TranscriptSection: [["transcript-digest-17"], "TranscriptDigest: no signal"],
  Word: [["word"], "Word: 254"],
  Multipliers: [["multipliers"], "Multipliers:"],
  Powers: [["g1-points-2"], "g1-points-2"],
  Closing: [["g1-points-2"], "g1-points-2"],
  G1Point: [["g1-points-2"], "g1-points-2"],
  TwistPoint: [["twist-lines-2"], "twist-lines-2: a false"],
  Tangent: [["twist-lines-2"], "twist-lines-2: a false"],
  Chord: [["twist-lines-2"], "twist-lines-2: a false"],
  TwistEnd: [["twist-end"], "TwistEnd"],
  Select8: [["select-8"], "Select8"],
  DoubleAdd: [["comb-2"], "comb-2: a false"],
  Add: [["comb-2"], "comb-2: a false"],
  KeyWord: [["comb-2"], "comb-2: a false"],
  Comb: [["comb-2"], "comb-2"],
};

// Bounds that bind nothing any more.
const WEAKENED = [
  ["L_MINUS_1 >> 128, L_MINUS_1 & (2**128 - 1), 1)", "2**123 - 1, 2**128 - 1, 1)"],
  ["DigitsBound(254, -1, LOW >> 128, LOW & MASK, 0)", "DigitsBound(254, -1, 0, 0, 0)"],
  ["(LOW >> 128) + (-1 >> 128) + (HIGH >> 128), HIGH & MASK, 1)", "2**126 - 1, MASK, 1)"],
  ["DigitsBound(254, 0, -1 >> 128, -1 & (2**128 - 1), 1)", "DigitsBound(254, 0, 2**126 - 1, 2**128 - 1, 1)"],
  ["if (i < 4) {", "if (i < 3) {"],
  ["new.enabled <== fresh", "new.enabled <== 0"],
  ["epoch[1] - epoch[0] - fresh", "epoch[1] - epoch[0]"],
  ["rise.fresh <== fresh", "rise.fresh <== 0"],
  ["* 2**8 + dense[i][2]", "* 2**8"],
  ["gained -= levels", "gained += 0 * levels"],
  ["counters = epoch[1] + lamport[1]", "counters = lamport[1]"],
  ["counters += levels", "counters += 0 * levels"],
  ["number - 1 + i", "number"],
  ["var back = i < sibling ? i : i - 1", "var back = s"],
  ["while (2**b < 3**k)", "while (2**b < 3**k - 1)"],
  ["kRange[i] = Range(64)", "kRange[i] = Range(65)"],
  ["Range(CARRY)", "Range(CARRY + 1)"],
];

// Where place 0 of an array is the previous header's and place 1 the new one's.
const PAIRS = /^(shard|state|statement)\.circom$/;

function* plants() {
  for (const file of readdirSync(join(home, "lib")).filter((name) => !name.endsWith("-constants.circom"))) {
    const lines = readFileSync(join(home, "lib", file), "utf8").split("\n");
    let template = null;
    for (const [i, line] of lines.entries()) {
      template = /^(?:template|function) (\w+)/.exec(line)?.[1] ?? template;
      if (line.startsWith("//")) continue;
      const planted = [];
      if (/ === .*;$/.test(line)) planted.push("");
      // A range that is asked about nothing; the other header of a pair.
      if (/^\s*\w*[rR]ange(\[\w+\])*\.in <== /.test(line)) planted.push(line.replace(/<== .*/, "<== 0;"));
      const paired = line.replace(/( <== \w+(?:\[i\])?)\[1\]/, "$1[0]");
      if (PAIRS.test(file) && paired !== line) planted.push(paired);
      if (/ <== .*\*/.test(line) && !/\.[^<]* <== /.test(line)) planted.push(line.replace("<==", "<--"));
      for (const [from, to] of WEAKENED) if (line.includes(from)) planted.push(line.replace(from, to));
      for (const other of planted) {
        const text = lines.with(i, other).join("\n");
        yield { file, template, line: i + 1, from: line.trim(), to: other.trim(), text };
      }
    }
  }
}

const folder = join(build, "planted");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const sound = new Set();

// What the tests of a template print with this text for one file of the library.
function outcome(template, file, text) {
  const [instances, name] = TESTS[template];
  for (const part of ["lib", "main"]) cpSync(join(home, part), join(folder, part), { recursive: true });
  writeFileSync(join(folder, "lib", file), text);
  for (const instance of instances) circom(modules, folder, `main/${instance}.circom`, "O1", "out");
  // The harness takes the names of hints from the library without the fault, as with a mistake that nobody knows of.
  return spawnSync(process.execPath, [join(home, "test/run.mjs"), folder, modules, name], { encoding: "utf8" }).stdout;
}

let [seen, missed] = [0, 0];
for (const { file, template, line, from, to, text } of plants()) {
  const where = `${file}:${line} ${from}  ->  ${to || "(nothing)"}`;
  if (filter && !where.includes(filter)) continue;
  if (!TESTS[template]) {
    console.log(`no tests named for ${template}: ${where}`);
    missed++;
    continue;
  }
  if (!sound.has(template)) {
    const output = outcome(template, file, readFileSync(join(home, "lib", file), "utf8"));
    check(/[1-9]\d* passed, 0 failed/.test(output), `without a fault the tests of ${template} fail\n${output}`);
    sound.add(template);
  }
  const failed = /passed, [1-9]\d* failed/.test(outcome(template, file, text));
  if (failed) seen++;
  else missed++;
  console.log(`${failed ? "seen  " : "MISSED"}  ${where}`);
}
console.log(`${seen} seen, ${missed} missed`);
process.exit(missed > 0 || seen === 0 ? 1 : 0);
