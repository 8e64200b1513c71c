// The scalar field of BN254, BabyJubJub and its signatures, straight from their definitions. The tests' second opinion.

export const P = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;
export const L = 2736030358979909402780800718157159386076813972158567259200215660948447373041n;
export const A = 168700n;
export const D = 168696n;
export const BASE8 = [
  5299619240641551281634865583518297030282874472190772894086521144482721001553n,
  16950150798460657717958625567821834550301663161624707787222815936182638968203n,
];
export const NEUTRAL = [0n, 1n];

export const mod = (value, modulus = P) => ((value % modulus) + modulus) % modulus;

export function power(base, exponent, modulus = P) {
  let result = 1n;
  for (base = mod(base, modulus); exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % modulus;
    base = (base * base) % modulus;
  }
  return result;
}

export function inverse(value, modulus = P) {
  let [a, b, x, y] = [mod(value, modulus), modulus, 1n, 0n];
  if (a === 0n) throw new Error("0 has no inverse");
  while (a > 1n) {
    const quotient = b / a;
    [a, b, x, y] = [b % a, a, mod(y - quotient * x, modulus), x];
  }
  return x;
}

// A square root by Tonelli and Shanks, or null.
export function squareRoot(value) {
  value = mod(value);
  if (value === 0n) return 0n;
  if (power(value, (P - 1n) / 2n) !== 1n) return null;
  let [q, s] = [P - 1n, 0n];
  while (q % 2n === 0n) [q, s] = [q / 2n, s + 1n];
  let c = power(5n, q); // 5 is no square
  let [t, r, m] = [power(value, q), power(value, (q + 1n) / 2n), s];
  while (t !== 1n) {
    let i = 0n;
    for (let u = t; u !== 1n; u = mod(u * u)) i++;
    const b = power(c, 1n << (m - i - 1n));
    [m, c] = [i, mod(b * b)];
    [t, r] = [mod(t * c), mod(r * b)];
  }
  return r;
}

export const onCurve = ([x, y]) => mod(A * x * x + y * y - 1n - D * x * x * y * y) === 0n;

export function add([x1, y1], [x2, y2]) {
  const t = D * x1 * x2 * y1 * y2;
  return [mod((x1 * y2 + y1 * x2) * inverse(1n + t)), mod((y1 * y2 - A * x1 * x2) * inverse(1n - t))];
}

export function multiply(scalar, point) {
  let result = NEUTRAL;
  for (; scalar > 0n; scalar >>= 1n) {
    if (scalar & 1n) result = add(result, point);
    point = add(point, point);
  }
  return result;
}

export const equal = (one, two) => one[0] === two[0] && one[1] === two[1];
export const negate = ([x, y]) => [mod(-x), y];

// u and v of v^2 = u^3 + 168698 u^2 + u.
export function montgomery([x, y]) {
  const u = mod((1n + y) * inverse(1n - y));
  return [u, mod(u * inverse(x))];
}

// The point of a 32-byte packed form in hex, or null if it is none: y little endian, the top bit for x > (p - 1) / 2.
export function unpack(hex) {
  let number = BigInt("0x" + Buffer.from(hex, "hex").reverse().toString("hex"));
  const negative = number >> 255n === 1n;
  const y = number & ((1n << 255n) - 1n);
  if (y >= P || (negative && (y === 1n || y === P - 1n))) return null;
  const x = squareRoot(mod((1n - y * y) * inverse(A - D * y * y)));
  if (x === null) return null;
  return [x > (P - 1n) / 2n === negative ? x : mod(-x), y];
}

// The points of order 1, 2, 4, 8: multiples of l of one point outside the subgroup.
export function torsion() {
  for (let y = 2n; ; y++) {
    const x = squareRoot(mod((1n - y * y) * inverse(A - D * y * y)));
    if (x === null) continue;
    const point = multiply(L, [x, y]);
    if (!equal(multiply(4n, point), NEUTRAL)) return Array.from({ length: 8 }, (_, i) => multiply(BigInt(i), point));
  }
}

// Reproducible random numbers: SplitMix64 words.
export function generator(seed) {
  let state = BigInt(seed);
  const word = () => {
    state = (state + 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & 0xffffffffffffffffn;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & 0xffffffffffffffffn;
    return z ^ (z >> 31n);
  };
  const below = (bound) => {
    let value = 0n;
    for (let i = 0; i < 6; i++) value = (value << 64n) | word();
    return value % bound;
  };
  return { below, element: () => below(P) };
}
