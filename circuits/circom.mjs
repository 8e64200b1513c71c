// The compiler, as a function.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

// modules: the node_modules folder. folder: all sources; circom2 sees nothing outside the folder it is started in.
// file, out: paths in it. level: O1 or O2. Throws with the compiler's words where it fails.
export function circom(modules, folder, file, level, out) {
  mkdirSync(join(folder, out), { recursive: true });
  const options = ["--r1cs", "--wasm", "--sym", `--${level}`, "--prime", "bn128", "-o", out];
  try {
    execFileSync(process.execPath, [join(modules, "circom2/cli.js"), file, ...options], { cwd: folder, stdio: "pipe" });
  } catch (error) {
    throw new Error(`${file}: circom fails\n${error.stdout}${error.stderr}`);
  }
}
