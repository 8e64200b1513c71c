//! Rank-1 constraint systems as circom writes them (`.r1cs`, version 1, over BN254).
//!
//! A file: "r1cs", version, number of sections; a section: type, length, content; numbers little endian. Section 1, the
//! header: bytes of an element, modulus, then 32-bit counts of wires, outputs, public inputs, private inputs, a 64-bit
//! count of labels, and a 32-bit count of rows. Section 2, the rows: three lists (count, then wire and factor) each.
//! Wire 0 is 1; outputs and public inputs come next.
//! Source: iden3's `r1csfile` specification.

use ark_bn254::Fr;
use ark_ff::PrimeField;
use smt_types::crypto::Field;

/// Longest file read: the largest instance has 270 MB.
const MAX_BYTES: usize = 1 << 30;

/// Factors of one linear form, by wire.
pub(crate) type Terms = Vec<(Fr, usize)>;

/// The rows of a circuit: ⟨a, w⟩ ⟨b, w⟩ = ⟨c, w⟩ for the wires w.
#[derive(Clone, Debug)]
pub struct R1cs {
    /// Wires, the one that is 1 included.
    pub wires: usize,
    /// How many of these, from the first, are public: the one that is 1, outputs, public inputs.
    pub public: usize,
    /// a, b and c of all rows.
    pub(crate) forms: [Vec<Terms>; 3],
}

/// Why a file is not a constraint system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a constraint system over BN254 in circom's format: {0}")]
pub struct R1csError(&'static str);

/// Bytes not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], R1csError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(R1csError("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], R1csError> {
        self.take(N)?.try_into().map_err(|_| R1csError("it ends early"))
    }

    fn count(&mut self) -> Result<usize, R1csError> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| R1csError("a count is too large"))
    }

    fn length(&mut self) -> Result<usize, R1csError> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| R1csError("a length is too large"))
    }

    /// An element below the modulus.
    fn element(&mut self) -> Result<Fr, R1csError> {
        let mut bytes: [u8; 32] = self.array()?;
        bytes.reverse();
        Ok(Field::from_bytes(bytes).map_err(|_| R1csError("a factor is not below the modulus"))?.to_ark())
    }
}

impl R1cs {
    /// Reads a file's bytes. Memory: about twice the file.
    ///
    /// # Errors
    /// [`R1csError`] for anything else than a whole system.
    pub fn read(bytes: &[u8]) -> Result<R1cs, R1csError> {
        if bytes.len() > MAX_BYTES {
            return Err(R1csError("it is too long"));
        }
        let mut rest = Rest(bytes);
        if rest.take(4)? != b"r1cs" || rest.count()? != 1 {
            return Err(R1csError("another format or version"));
        }
        let (mut header, mut rows) = (None, None);
        for _ in 0..rest.count()? {
            let section = rest.count()?;
            let length = rest.length()?;
            let content = Rest(rest.take(length)?);
            match section {
                1 => header = Some(content),
                2 => rows = Some(content),
                _ => {}
            }
        }
        let (mut header, mut rows) = header.zip(rows).ok_or(R1csError("a section is missing"))?;
        let modulus: Vec<u8> = Fr::MODULUS.0.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        if header.count()? != 32 || header.take(32)? != modulus {
            return Err(R1csError("another field"));
        }
        let (wires, outputs, inputs, _private) = (header.count()?, header.count()?, header.count()?, header.count()?);
        let _labels = header.length()?;
        let count = header.count()?;
        let public = 1usize.saturating_add(outputs).saturating_add(inputs);
        if public > wires {
            return Err(R1csError("more public wires than wires"));
        }
        let mut forms = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..count {
            for form in &mut forms {
                let mut terms = Terms::new();
                for _ in 0..rows.count()? {
                    let wire = rows.count()?;
                    if wire >= wires {
                        return Err(R1csError("a row names a wire that is not there"));
                    }
                    terms.push((rows.element()?, wire));
                }
                form.push(terms);
            }
        }
        if rows.0.is_empty() { Ok(R1cs { wires, public, forms }) } else { Err(R1csError("bytes after the last row")) }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.forms[0].len()
    }

    /// The first row that these wires violate; `None` if all hold. Fewer wires than there are violate the first.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "field elements have no overflow")]
    pub fn violated(&self, wires: &[Fr]) -> Option<usize> {
        let value = |terms: &Terms| {
            let products = terms.iter().map(|(factor, wire)| wires.get(*wire).map(|value| *factor * value));
            products.sum::<Option<Fr>>()
        };
        let [a, b, c] = &self.forms;
        let mut rows = a.iter().zip(b).zip(c);
        if wires.len() != self.wires {
            return Some(0);
        }
        rows.position(|((a, b), c)| match (value(a), value(b), value(c)) {
            (Some(a), Some(b), Some(c)) => a * b != c,
            _ => true,
        })
    }
}
