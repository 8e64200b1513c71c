//! Runs the witness programs that circom writes (WebAssembly, version 2 of its interface), in an interpreter.
//!
//! A compiler for them would be the largest dependency of all. The price: some 5 seconds for the 35,000 wires of three
//! shards, four times the proof itself, and in proportion for more. It is the arithmetic of long sums that costs, not the
//! calls in and out.

use crate::Inputs;
use ark_bn254::Fr;
use smt_types::crypto::Field;
use wasmi::{Engine, Error, Instance, Linker, Module, Store, WasmParams, WasmResults};

/// A witness program.
#[derive(Debug)]
pub struct WitnessProgram {
    engine: Engine,
    module: Module,
}

/// Why there is no witness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// Not a program, or not one of circom's.
    #[error("the witness program does not run")]
    Program(#[from] Error),
    /// An input that the circuit lacks, or of another size.
    #[error("input {name} has {got} elements, the circuit takes {want}")]
    Size {
        /// The input.
        name: &'static str,
        /// Elements given.
        got: usize,
        /// Elements it has in the circuit; 0 or less where it has no such input.
        want: i32,
    },
    /// Inputs that nobody has given.
    #[error("{got} input elements given, the circuit takes {want}")]
    Missing {
        /// Elements given.
        got: usize,
        /// Elements that the circuit takes.
        want: i32,
    },
    /// The statement is false: the program has asserted what does not hold.
    #[error("there is no witness: the statement is false")]
    False,
    /// The program has stopped for another reason.
    #[error("the witness program stops with code {0}")]
    Stopped(i32),
    /// A wire that is no field element.
    #[error("the witness program gives a number that is no field element")]
    Element,
}

/// What the program reports by its exception handler, 0 for nothing.
struct Code(i32);

/// Its code for an assertion that does not hold.
const ASSERTION: i32 = 4;

/// One run of the program.
struct Run {
    store: Store<Code>,
    instance: Instance,
}

impl Run {
    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, parameters: P) -> Result<R, WitnessError> {
        let function = self.instance.get_typed_func::<P, R>(&self.store, name)?;
        function.call(&mut self.store, parameters).map_err(|error| match self.store.data() {
            Code(0) => WitnessError::Program(error),
            Code(ASSERTION) => WitnessError::False,
            Code(code) => WitnessError::Stopped(*code),
        })
    }
}

/// FNV-1a of a name, 64 bits in two halves: how the program knows its inputs.
fn name_hash(name: &str) -> (i32, i32) {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    (i32::from_be_bytes([a, b, c, d]), i32::from_be_bytes([e, f, g, h]))
}

impl WitnessProgram {
    /// Reads a program.
    ///
    /// # Errors
    /// [`WitnessError::Program`] for bytes that are none.
    pub fn read(bytes: &[u8]) -> Result<WitnessProgram, WitnessError> {
        let engine = Engine::default();
        let module = Module::new(&engine, bytes)?;
        Ok(WitnessProgram { engine, module })
    }

    fn start(&self) -> Result<Run, WitnessError> {
        let mut linker = <Linker<Code>>::new(&self.engine);
        linker
            .func_wrap("runtime", "exceptionHandler", |mut caller: wasmi::Caller<'_, Code>, code: i32| {
                caller.data_mut().0 = code;
                Err::<(), Error>(Error::new("the program stops"))
            })
            .map_err(Error::from)?;
        for name in ["printErrorMessage", "writeBufferMessage", "showSharedRWMemory"] {
            linker.func_wrap("runtime", name, || {}).map_err(Error::from)?;
        }
        let mut store = Store::new(&self.engine, Code(0));
        let instance = linker.instantiate_and_start(&mut store, &self.module)?;
        Ok(Run { store, instance })
    }

    /// All wires for these inputs, in the order of the constraint system.
    ///
    /// # Errors
    /// [`WitnessError::False`] for a false statement; the others for inputs of another circuit and broken programs.
    pub fn wires(&self, inputs: &Inputs) -> Result<Vec<Fr>, WitnessError> {
        let mut run = self.start()?;
        run.call::<_, ()>("init", 1i32)?;
        let mut given = 0usize;
        for (name, values) in inputs.0.iter().filter(|(_, values)| !values.is_empty()) {
            let (high, low) = name_hash(name);
            let want: i32 = run.call("getInputSignalSize", (high, low))?;
            if usize::try_from(want) != Ok(values.len()) {
                return Err(WitnessError::Size { name, got: values.len(), want });
            }
            for (place, value) in (0i32..).zip(values) {
                for (word, bytes) in (0i32..).zip(value.as_bytes().as_rchunks::<4>().1.iter().rev()) {
                    run.call::<_, ()>("writeSharedRWMemory", (word, i32::from_be_bytes(*bytes)))?;
                }
                run.call::<_, ()>("setInputSignal", (high, low, place))?;
            }
            given = given.saturating_add(values.len());
        }
        let want: i32 = run.call("getInputSize", ())?;
        if usize::try_from(want) != Ok(given) {
            return Err(WitnessError::Missing { got: given, want });
        }
        let count: i32 = run.call("getWitnessSize", ())?;
        // Wire by wire the program puts an element where all its exchanges go, little endian.
        let place: i32 = run.call("getSharedRWMemoryStart", ())?;
        let place = usize::try_from(place).map_err(|_| WitnessError::Element)?;
        let memory = run.instance.get_memory(&run.store, "memory").ok_or(WitnessError::Element)?;
        let show = run.instance.get_typed_func::<i32, ()>(&run.store, "getWitness")?;
        let wire = |wire: i32| {
            show.call(&mut run.store, wire)?;
            let mut bytes = [0u8; 32];
            memory.read(&run.store, place, &mut bytes).map_err(|_| WitnessError::Element)?;
            bytes.reverse();
            Ok(Field::from_bytes(bytes).map_err(|_| WitnessError::Element)?.to_ark())
        };
        (0..count).map(wire).collect()
    }
}
