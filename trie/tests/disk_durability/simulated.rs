//! A disk in memory that loses power.
//!
//! Every change is recorded, so that the disk can be set up again as it was after any number of them. A loss of power
//! keeps what was synced; of the rest it keeps what the seed says: each unsynced change of a name or not, and of each
//! file's unsynced bytes a beginning, sector by sector kept, zero or rubbish. An error leaves half of an append. A
//! sync that fails loses what it was for: the bytes are still read back, but no later sync makes them durable.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use smt_trie::disk::{Append, Files, Source};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

const SECTOR: usize = 512;

/// A change, or a promise of durability.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create(String),
    Append(usize, Vec<u8>),
    Sync(usize),
    Rename(String, String),
    Remove(String),
    SyncDirectory,
}

/// What becomes of unsynced changes when the power goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// All are kept: only the process ended.
    None,
    All,
    Some(u64),
}

/// What an implementation might get wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Plant {
    #[default]
    Nothing,
    /// Files are never synced.
    NoSync,
    /// The directory is never synced.
    NoSyncDirectory,
    /// Only files of names that begin so are not synced.
    NoSyncOf(&'static str),
    /// Not a mistake but a bad disk: a byte of what is appended to files of names that begin so changes.
    Garble(&'static str),
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
    /// A sync failed: what was not durable then never will be.
    broken: bool,
}

/// The value a name gets in a change of the directory.
type Rebinding = Vec<(String, Option<usize>)>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<Rebinding>,
    pub(crate) trace: Vec<Operation>,
    /// The operation with this number fails, as said.
    pub(crate) fail: Option<(usize, io::ErrorKind)>,
    pub(crate) plant: Plant,
}

impl Disk {
    /// The disk after `trace`, from an empty one.
    pub(crate) fn replay(mut self, trace: &[Operation]) -> Self {
        for operation in trace {
            self.apply(operation);
        }
        self
    }

    fn apply(&mut self, operation: &Operation) {
        let rebinding = match operation {
            Operation::Create(name) => {
                self.files.push(File::default());
                vec![(name.clone(), Some(self.files.len() - 1))]
            }
            Operation::Rename(from, to) => vec![(from.clone(), None), (to.clone(), self.names.get(from).copied())],
            Operation::Remove(name) => vec![(name.clone(), None)],
            Operation::Append(file, bytes) => return self.files[*file].bytes.extend(bytes),
            Operation::Sync(file) => {
                let file = &mut self.files[*file];
                if !file.broken {
                    file.synced = file.bytes.len();
                }
                return;
            }
            Operation::SyncDirectory => {
                for rebinding in std::mem::take(&mut self.unsynced) {
                    rebind(&mut self.durable, rebinding);
                }
                return;
            }
        };
        rebind(&mut self.names, rebinding.clone());
        self.unsynced.push(rebinding);
    }

    /// A disk whose operation number `at` fails so.
    pub(crate) fn failing(at: usize, kind: io::ErrorKind) -> Self {
        Self { fail: Some((at, kind)), ..Self::default() }
    }

    /// A disk that does not do all it says.
    pub(crate) fn planted(plant: Plant) -> Self {
        Self { plant, ..Self::default() }
    }

    /// What is there when the power comes back.
    pub(crate) fn after_loss(&self, loss: Loss) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(if let Loss::Some(seed) = loss { seed } else { 0 });
        let mut keep = |loss: Loss| match loss {
            Loss::None => true,
            Loss::All => false,
            Loss::Some(_) => rng.next_u32() % 2 == 0,
        };
        let mut names = self.durable.clone();
        for rebinding in &self.unsynced {
            if keep(loss) {
                rebind(&mut names, rebinding.clone());
            }
        }
        if let Loss::None = loss {
            names = self.names.clone();
        }
        let mut disk = Self { plant: self.plant, ..Self::default() };
        for (name, file) in names {
            let file = &self.files[file];
            let bytes = match loss {
                Loss::None => file.bytes.clone(),
                Loss::All => file.bytes[..file.synced].to_vec(),
                Loss::Some(_) => torn(file, &mut rng),
            };
            let (synced, broken) =
                if let Loss::None = loss { (file.synced, file.broken) } else { (bytes.len(), false) };
            disk.files.push(File { bytes, synced, broken });
            disk.names.insert(name, disk.files.len() - 1);
        }
        disk.durable = disk.names.clone();
        disk
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// The bytes of a file, to be damaged.
    pub(crate) fn bytes(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.files[self.names[name]].bytes
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    fn is_named(&self, file: usize, prefix: &str) -> bool {
        self.names.iter().any(|(name, at)| *at == file && name.starts_with(prefix))
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn rebind(names: &mut BTreeMap<String, usize>, rebinding: Rebinding) {
    for (name, file) in rebinding {
        match file {
            Some(file) => names.insert(name, file),
            None => names.remove(&name),
        };
    }
}

/// A file of which the unsynced bytes were on their way to the disk.
fn torn(file: &File, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let unsynced = file.bytes.len() - file.synced;
    let length = file.synced + rng.next_u64() as usize % (unsynced + 1);
    let mut bytes = file.bytes[..length].to_vec();
    // Half of the time all that is there is right: a record cut off.
    if rng.next_u32().is_multiple_of(2) {
        return bytes;
    }
    for start in (file.synced / SECTOR * SECTOR..length).step_by(SECTOR) {
        let sector = &mut bytes[start.max(file.synced)..(start + SECTOR).min(length)];
        match rng.next_u32() % 4 {
            0 => sector.fill(0),
            1 => rng.fill_bytes(sector),
            _ => {}
        }
    }
    bytes
}

/// A disk that can be opened; clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct Simulated(Arc<Mutex<Disk>>);

impl Simulated {
    pub(crate) fn new(disk: Disk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// Number of operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.disk().trace.len()
    }

    fn run(&self, mut operation: Operation) -> io::Result<()> {
        let mut disk = self.disk();
        let number = disk.trace.len();
        let planted = match &operation {
            Operation::Sync(file) => match disk.plant {
                Plant::NoSync => true,
                Plant::NoSyncOf(prefix) => disk.is_named(*file, prefix),
                Plant::Nothing | Plant::NoSyncDirectory | Plant::Garble(_) => false,
            },
            Operation::SyncDirectory => disk.plant == Plant::NoSyncDirectory,
            _ => false,
        };
        if planted {
            return Ok(());
        }
        if let (Plant::Garble(prefix), Operation::Append(file, bytes)) = (disk.plant, &mut operation)
            && disk.is_named(*file, prefix)
        {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        if let Some((at, kind)) = disk.fail
            && at == number
        {
            match operation.clone() {
                Operation::Append(file, mut bytes) => {
                    bytes.truncate(bytes.len() / 2);
                    disk.apply(&Operation::Append(file, bytes));
                }
                Operation::Sync(file) => disk.files[file].broken = true,
                Operation::SyncDirectory => disk.unsynced.clear(),
                Operation::Create(_) | Operation::Rename(..) | Operation::Remove(_) => {}
            }
            disk.trace.push(operation);
            return Err(kind.into());
        }
        disk.apply(&operation);
        disk.trace.push(operation);
        Ok(())
    }
}

impl Files for Simulated {
    fn create(&self, name: &str) -> io::Result<Box<dyn Append>> {
        if self.disk().find(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.run(Operation::Create(name.to_owned()))?;
        let file = self.disk().find(name)?;
        Ok(Box::new(Writer { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Source>> {
        let file = self.disk().find(name)?;
        Ok(Box::new(Writer { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let found = self.disk().find(from);
        found.and_then(|_| self.run(Operation::Rename(from.to_owned(), to.to_owned())))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let found = self.disk().find(name);
        found.and_then(|_| self.run(Operation::Remove(name.to_owned())))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk().names())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.run(Operation::SyncDirectory)
    }
}

struct Writer {
    disk: Simulated,
    file: usize,
}

impl Append for Writer {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.run(Operation::Append(self.file, bytes.to_vec()))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.run(Operation::Sync(self.file))
    }
}

impl Source for Writer {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.disk().files[self.file].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let disk = self.disk.disk();
        let from = usize::try_from(offset).unwrap();
        let bytes = disk.files[self.file].bytes.get(from..from + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
