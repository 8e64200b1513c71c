#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Cheap enough to derive many times.
const QUICK: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn phrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn store() -> (tempfile::TempDir, Keystore) {
    let dir = tempfile::tempdir().unwrap();
    let keystore = Keystore::open(&dir.path().join("wallet")).unwrap();
    (dir, keystore)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn key_comes_back_with_its_passphrase() {
    let (_dir, keystore) = store();
    let seed = Seed::new([7; 32]);
    let entry = keystore.create(&name("a"), &seed, &phrase("correct horse"), Cost::DEFAULT).unwrap();
    assert_eq!(entry.address, crate::wallet::address_of(&seed));
    assert_eq!(keystore.list().unwrap(), vec![entry.clone()]);
    assert_eq!(keystore.find(&name("a")).unwrap(), entry);
    assert_eq!(keystore.unlock(&name("a"), &phrase("correct horse")).unwrap().as_bytes(), &[7; 32]);
    let text = fs::read_to_string(keystore.path(&name("a"))).unwrap();
    assert!(!text.contains(&hex::encode([7u8; 32])));
}

#[test]
fn two_files_of_one_key_share_nothing_secret() {
    let (_one, first) = store();
    let (_two, second) = store();
    let files: Vec<_> = [&first, &second]
        .map(|keystore| {
            keystore.create(&name("a"), &Seed::new([7; 32]), &phrase("correct horse"), QUICK).unwrap();
            read(&keystore.path(&name("a"))).unwrap().0
        })
        .into();
    assert!(files[0].salt != files[1].salt && files[0].nonce != files[1].nonce && files[0].seed != files[1].seed);
}

#[test]
fn wrong_passphrase_and_unknown_key_are_named() {
    let (_dir, keystore) = store();
    keystore.create(&name("a"), &Seed::new([7; 32]), &phrase("correct horse"), QUICK).unwrap();
    for wrong in ["", "correct horse ", "Correct horse"] {
        assert!(matches!(keystore.unlock(&name("a"), &phrase(wrong)), Err(KeystoreError::Passphrase(_))));
    }
    assert!(matches!(keystore.unlock(&name("b"), &phrase("x")), Err(KeystoreError::Unknown { .. })));
    assert!(matches!(keystore.find(&name("b")), Err(KeystoreError::Unknown { .. })));
}

#[test]
fn nothing_is_written_over() {
    let (_dir, keystore) = store();
    keystore.create(&name("a"), &Seed::new([7; 32]), &phrase("correct horse"), QUICK).unwrap();
    let before = fs::read(keystore.path(&name("a"))).unwrap();
    let again =
        |key: &str, seed: u8| keystore.create(&name(key), &Seed::new([seed; 32]), &phrase("other horse"), QUICK);
    assert!(matches!(again("a", 8), Err(KeystoreError::Taken(_))));
    assert!(matches!(again("b", 7), Err(KeystoreError::Held(held)) if held == name("a")));
    assert_eq!(fs::read(keystore.path(&name("a"))).unwrap(), before);
}

#[test]
fn every_flipped_bit_is_refused_without_the_passphrase() {
    let (_dir, keystore) = store();
    keystore.create(&name("a"), &Seed::new([7; 32]), &phrase("correct horse"), QUICK).unwrap();
    let path = keystore.path(&name("a"));
    let intact = fs::read(&path).unwrap();
    for at in 0..intact.len() {
        for bit in 0..8 {
            let mut bytes = intact.clone();
            bytes[at] ^= 1 << bit;
            let error = parse(&path, &bytes).err();
            assert!(
                matches!(error, Some(KeystoreError::Damaged { .. } | KeystoreError::Version { .. })),
                "byte {at} bit {bit}: {error:?}"
            );
        }
    }
    for length in 0..intact.len() {
        assert!(parse(&path, &intact[..length]).is_err(), "{length} bytes");
    }
    fs::write(&path, &intact[1..]).unwrap();
    assert!(matches!(keystore.list(), Err(KeystoreError::Damaged { .. })));
    fs::write(&path, &intact).unwrap();
    assert!(keystore.unlock(&name("a"), &phrase("correct horse")).is_ok());
}

/// The checksum is no secret: whoever can write the file can make it fit. Then the tag has to see the change.
#[test]
fn forged_file_with_fitting_checksum_does_not_open() {
    let (_dir, keystore) = store();
    keystore.create(&name("a"), &Seed::new([7; 32]), &phrase("correct horse"), QUICK).unwrap();
    let path = keystore.path(&name("a"));
    let (intact, _) = read(&path).unwrap();
    let other = hex::encode(crate::wallet::address_of(&Seed::new([8; 32])).0);
    let flip = |text: &str| {
        let mut bytes = hex::decode(text).unwrap();
        bytes[0] ^= 1;
        hex::encode(bytes)
    };
    let forgeries = [
        Sealed { address: other, ..intact.clone() },
        Sealed { salt: flip(&intact.salt), ..intact.clone() },
        Sealed { nonce: flip(&intact.nonce), ..intact.clone() },
        Sealed { seed: flip(&intact.seed), ..intact.clone() },
        Sealed { cost: Cost { passes: 2, ..QUICK }, ..intact.clone() },
    ];
    for forged in forgeries {
        fs::write(&path, file_bytes(forged).unwrap()).unwrap();
        let opened = keystore.unlock(&name("a"), &phrase("correct horse"));
        assert!(matches!(opened, Err(KeystoreError::Passphrase(_))));
    }
    let heavy = Sealed { cost: Cost { memory_kib: u32::MAX, ..QUICK }, ..intact.clone() };
    fs::write(&path, file_bytes(heavy).unwrap()).unwrap();
    assert!(matches!(keystore.find(&name("a")), Err(KeystoreError::Damaged { .. })));
    let newer = Sealed { version: 2, ..intact };
    fs::write(&path, file_bytes(newer).unwrap()).unwrap();
    assert!(matches!(keystore.find(&name("a")), Err(KeystoreError::Version { got: 2, .. })));
    fs::write(&path, br#"{"key":{"version":3,"new":1},"checksum":""}"#).unwrap();
    assert!(matches!(keystore.find(&name("a")), Err(KeystoreError::Version { got: 3, .. })));
}

#[test]
fn files_are_the_owners_alone_or_refused_with_the_command() {
    let (dir, keystore) = store();
    keystore.create(&name("a"), &Seed::new([7; 32]), &phrase("correct horse"), QUICK).unwrap();
    let (file, keys) = (keystore.path(&name("a")), dir.path().join("wallet/keys"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&keys), mode(&dir.path().join("wallet"))), (0o600, 0o700, 0o700));
    for open in [0o640, 0o604, 0o620, 0o666] {
        set_mode(&file, open);
        let error = keystore.unlock(&name("a"), &phrase("correct horse")).unwrap_err();
        assert!(error.to_string().contains(&format!("chmod 600 {}", file.display())), "{error}");
    }
    set_mode(&file, 0o400);
    assert!(keystore.find(&name("a")).is_ok());
    set_mode(&keys, 0o755);
    let error = Keystore::open(&dir.path().join("wallet")).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
}

#[test]
fn names_cannot_leave_the_directory() {
    for bad in ["", ".", "..", "a/b", "../a", "-a", "_a", "A", "a b", "a.json", "é", &"a".repeat(65)] {
        assert!(bad.parse::<KeyName>().is_err(), "{bad:?}");
    }
    for good in ["a", "0", "a-b_c", &"a".repeat(64)] {
        assert!(good.parse::<KeyName>().is_ok(), "{good:?}");
    }
}
