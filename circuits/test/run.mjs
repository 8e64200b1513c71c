// All tests of the circuits. Called by scripts/circuits --test: node run.mjs BUILD MODULES [part of a name]

import "./bits.mjs";
import "./poseidon.mjs";
import "./babyjub.mjs";
import "./eddsa.mjs";
import "./native.mjs";
import "./parts.mjs";
import "./statement.mjs";
import "./verifier.mjs";
import { altered, check, filter, hints, run, test } from "./harness.mjs";

if (!filter) {
  test("every hint of the library was altered by a test", () => {
    const missing = [...hints].filter((name) => !altered.has(name));
    check(missing.length === 0, `never altered: ${missing}`);
  });
}
await run();
