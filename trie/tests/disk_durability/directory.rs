//! The real directory.

use crate::model::{self, expected, options, steps};
use smt_trie::disk::{Append, Database, Directory, Error, Files, OpenError, Options};
use smt_trie::{Key, Leaf, Settings, UpdateError};
use std::io::ErrorKind;

#[test]
fn a_database_comes_back_from_a_real_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep").join("state");
    let steps = steps(15, 60);
    let states = expected(&steps);
    for (part, state) in steps.chunks(20).zip(states.iter().skip(20).step_by(20)) {
        let mut database = Database::open(Directory::open(&path).unwrap(), options(1)).unwrap();
        for step in part {
            model::run(&mut database, step).unwrap();
        }
        assert!(state.is_shown_by(&database));
        drop(database);
        let database = Database::open(Directory::open(&path).unwrap(), options(1)).unwrap();
        assert!(state.is_shown_by(&database));
        state.assert_entries(&database, "reopened");
    }
}

/// All keys of a trie share its first trits, but once it is empty those may be others.
#[test]
fn a_trie_below_the_root_comes_back_with_its_prefix_or_another() {
    let files = crate::simulated::Simulated::default();
    let options = Options { trie: Settings { root_depth: 4, ..options(2).trie }, ..options(2) };
    let key = |first: u8, n: u8| [first, n, 0].repeat(11)[..32].try_into().unwrap();
    let mut old: Vec<Key> = Vec::new();
    for (epoch, first) in [(1, 0), (2, 255), (3, 127)] {
        let mut database = Database::open(files.clone(), options.clone()).unwrap();
        let removed: Vec<_> = old.drain(..).map(|key| (key, None::<Leaf>)).collect();
        database.update(&removed).unwrap();
        assert!(database.is_empty().unwrap());
        old = (0..100).map(|n| key(first, n)).collect();
        let batch: Vec<_> = old.iter().map(|key| (*key, Some(Leaf { value: vec![first], sum: 1 }))).collect();
        let root = database.update(&batch).unwrap();
        let foreign = (key(first ^ 0x55, 0), Some(Leaf { value: vec![], sum: 0 }));
        assert!(matches!(database.update(&[foreign]), Err(Error::Update(UpdateError::ForeignKey { .. }))));
        database.commit_epoch(epoch).unwrap();
        database.fold().unwrap();
        drop(database);
        let database = Database::open(files.clone(), options.clone()).unwrap();
        assert_eq!((database.root().unwrap(), database.len().unwrap()), (root, 100));
    }
}

#[test]
fn a_directory_opens_once() {
    let directory = tempfile::tempdir().unwrap();
    let first = Directory::open(directory.path()).unwrap();
    assert!(matches!(Directory::open(directory.path()), Err(OpenError::Locked { .. })));
    let database = Database::open(first, options(1)).unwrap();
    let reader = database.reader();
    drop(database);
    // A reader may still need the files.
    assert!(matches!(Directory::open(directory.path()), Err(OpenError::Locked { .. })));
    drop(reader);
    Directory::open(directory.path()).unwrap();
}

/// The simulated disk and a real one answer alike.
#[test]
fn both_disks_agree() {
    let directory = tempfile::tempdir().unwrap();
    let real = Directory::open(directory.path()).unwrap();
    let simulated = crate::simulated::Simulated::default();
    for files in [&real as &dyn Files, &simulated] {
        let mut file = files.create("a").unwrap();
        assert_eq!(files.create("a").err().unwrap().kind(), ErrorKind::AlreadyExists);
        file.append(b"one").unwrap();
        files.rename("a", "b").unwrap();
        Append::append(&mut *file, b"two").unwrap();
        file.sync().unwrap();
        assert_eq!(files.open("a").err().unwrap().kind(), ErrorKind::NotFound);
        let source = files.open("b").unwrap();
        let mut middle = [0; 3];
        source.read_at(2, &mut middle).unwrap();
        assert_eq!((source.size().unwrap(), &middle), (6, b"etw"));
        assert_eq!(source.read_at(4, &mut middle).err().unwrap().kind(), ErrorKind::UnexpectedEof);
        drop(files.create("c").unwrap());
        files.rename("c", "b").unwrap();
        assert_eq!(files.open("b").unwrap().size().unwrap(), 0);
        let names: Vec<String> = files.list().unwrap().into_iter().filter(|name| name != "lock").collect();
        assert_eq!(names, ["b"]);
        files.remove("b").unwrap();
        assert_eq!(files.remove("b").err().unwrap().kind(), ErrorKind::NotFound);
        assert_eq!(files.rename("b", "c").err().unwrap().kind(), ErrorKind::NotFound);
        files.sync_directory().unwrap();
    }
}
