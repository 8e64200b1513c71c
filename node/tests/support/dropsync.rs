//! Runs a process on a disk that forgets everything after the last sync; `dropsync.c` beside this file says exactly what it keeps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The preload library, compiled once a test process with the C compiler that RocksDB's own build needs anyway.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/dropsync.c");
        let name = format!("libdropsync-{}.so", std::process::id());
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let output = Command::new("cc")
            .args(["-std=gnu11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("a C compiler named cc is installed");
        assert!(output.status.success(), "dropsync.c does not compile: {}", String::from_utf8_lossy(&output.stderr));
        library
    })
}

/// A disk for one directory, of which `command`s see every write and of which a power loss leaves only what was synced.
pub(crate) struct Disk {
    home: tempfile::TempDir,
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        fs::create_dir(home.path().join("disk")).expect("a new directory takes entries");
        Self { home }
    }

    /// The directory as a running process sees it.
    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("disk")
    }

    /// While this file exists, syncs fail with EIO and what they should have written is gone.
    pub(crate) fn fail_flag(&self) -> PathBuf {
        self.home.path().join("fail")
    }

    /// Makes `command` run on this disk. Call it anew for each process, since what is on the disk at its start counts as synced.
    pub(crate) fn attach(&self, command: &mut Command) {
        let shadow = self.shadow();
        fs::remove_dir_all(&shadow).ok();
        fs::create_dir(&shadow).expect("the shadow's place is free");
        command
            .env("LD_PRELOAD", library())
            .env("DROPSYNC_DIR", self.dir())
            .env("DROPSYNC_SHADOW", shadow)
            .env("DROPSYNC_FAIL", self.fail_flag());
    }

    /// The power fails: the directory is replaced by what was synced. The process must have ended.
    pub(crate) fn lose_power(&self) {
        fs::remove_dir_all(self.dir()).expect("the old content can be removed");
        restore(&self.shadow(), "1", &self.dir());
    }

    fn shadow(&self) -> PathBuf {
        self.home.path().join("shadow")
    }
}

fn restore(shadow: &Path, number: &str, to: &Path) {
    fs::create_dir(to).expect("a directory is restored once");
    // A directory never synced has no list: it is empty.
    let names = fs::read_to_string(shadow.join(format!("{number}.dir"))).unwrap_or_default();
    for line in names.lines() {
        let mut parts = line.splitn(3, ' ');
        let (Some(kind), Some(number), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            panic!("shadow line {line:?}");
        };
        if kind == "d" {
            restore(shadow, number, &to.join(name));
            continue;
        }
        // A file never synced has no bytes: its name was synced, its content was not.
        let bytes = fs::read(shadow.join(format!("{number}.data"))).unwrap_or_default();
        fs::write(to.join(name), bytes).expect("a file is restored once");
    }
}
