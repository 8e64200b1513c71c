//! Tests of addresses and shard words; the vectors are checked in `tests/vectors.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::Canonical;
use proptest::prelude::*;

const CHARSET: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

#[test]
fn every_single_character_substitution_is_refused() {
    for (hrp, address) in [(Hrp::Main, Address([0; 32])), (Hrp::Dev, Address([0xa7; 32]))] {
        let text = address.to_bech32(hrp);
        assert_eq!(Address::parse(&text), Ok((hrp, address)));
        for place in 0..text.len() {
            for with in (0x20..0x7f).map(char::from) {
                let mut changed: Vec<char> = text.chars().collect();
                if changed[place] == with {
                    continue;
                }
                changed[place] = with;
                let changed: String = changed.into_iter().collect();
                let result = Address::parse(&changed);
                assert!(result.is_err(), "{changed}");
                if place > hrp.as_str().len() && CHARSET.contains(with) {
                    assert_eq!(result, Err(AddressError::Checksum), "{changed}");
                }
            }
        }
    }
}

#[test]
fn upper_case_is_read_and_mixed_case_is_not() {
    let address = Address([0x5c; 32]);
    let text = address.to_bech32(Hrp::Main);
    assert_eq!(Address::parse(&text.to_ascii_uppercase()), Ok((Hrp::Main, address)));
    assert!(Address::parse(&text.replacen('s', "S", 1)).is_err());
}

#[test]
fn prefix_length_and_form_are_told_apart() {
    let encode = |hrp, data: &[u8]| bech32::encode_lower::<Bech32m>(Prefix::parse(hrp).unwrap(), data).unwrap();
    assert_eq!(Address::parse(&encode("bc", &[1; 32])), Err(AddressError::Prefix { found: "bc".into() }));
    assert_eq!(Address::parse(&encode("smt", &[1; 31])), Err(AddressError::Length { got: 50, want: 52 }));
    assert_eq!(Address::parse(&encode("smt", &[1; 33])), Err(AddressError::Length { got: 53, want: 52 }));
    assert!(matches!(Address::parse("smt"), Err(AddressError::Form(_))));
    assert!(matches!(Address::parse(""), Err(AddressError::Form(_))));
    assert!(Address::parse("smt1").is_err());
    assert!(Address::parse(&"smt1".repeat(10_000)).is_err());
    // The older checksum of bech32 (without m) is another code.
    let old = bech32::encode_lower::<bech32::Bech32>(Prefix::parse("smt").unwrap(), &[1; 32]).unwrap();
    assert_eq!(Address::parse(&old), Err(AddressError::Checksum));
}

#[test]
fn spare_bits_make_no_second_text() {
    use bech32::{ByteIterExt, Fe32, Fe32IterExt};
    let fe = |spare: u8| {
        let mut data: Vec<Fe32> = [0u8; 32].iter().copied().bytes_to_fes().collect();
        *data.last_mut().unwrap() = Fe32::try_from(spare).unwrap();
        let hrp = Prefix::parse("smt").unwrap();
        data.into_iter().with_checksum::<Bech32m>(&hrp).chars().collect::<String>()
    };
    assert!(Address::parse(&fe(0)).is_ok());
    for spare in 1..16 {
        assert_eq!(Address::parse(&fe(spare)), Err(AddressError::SpareBits));
    }
}

#[test]
fn words_of_all_levels_round_trip() {
    for level in 0..=ShardAddress::MAX_LEVEL {
        let mut count = 0;
        for (index, word) in ShardAddress::all(level).enumerate() {
            assert_eq!(usize::try_from(word.index()).unwrap(), index);
            assert_eq!(word.to_string().parse(), Ok(word));
            assert_eq!(ShardAddress::from_bytes(&word.to_bytes(), 5), Ok(word));
            count += 1;
        }
        assert_eq!(count, ShardAddress::count(level));
        assert_eq!(ShardAddress::new(level, count), None);
    }
    assert_eq!(ShardAddress::new(10, 0), None);
    for bad in ["", ".", "0.", ".1", "3", "00", "0.2.1.", "0,1", "Root", "0.0.0.0.0.0.0.0.0.0"] {
        assert_eq!(bad.parse::<ShardAddress>(), Err(AddressError::ShardWord(bad.into())));
    }
}

#[test]
fn family_of_a_word() {
    let word: ShardAddress = "0.2.1".parse().unwrap();
    assert_eq!((word.level(), word.index()), (3, 7));
    assert_eq!([0, 1, 2, 3].map(|i| word.trit(i)), [Some(0), Some(2), Some(1), None]);
    assert_eq!(word.parent().unwrap().to_string(), "0.2");
    assert_eq!(word.child(2).unwrap().to_string(), "0.2.1.2");
    assert_eq!(word.child(3), None);
    assert_eq!(word.siblings().unwrap().map(|s| s.to_string()), ["0.2.0", "0.2.2"]);
    assert_eq!(word.prefix(1).unwrap().to_string(), "0");
    assert_eq!(word.prefix(4), None);
    assert_eq!((ShardAddress::ROOT.parent(), ShardAddress::ROOT.siblings()), (None, None));
    assert_eq!(ShardAddress::new(9, 0).unwrap().child(0), None);
    assert_eq!(ShardAddress::ROOT.to_string(), "root");
}

#[test]
fn borders_of_shards_lie_where_multiplication_puts_them() {
    assert_eq!(Address([0; 32]).shard(9).index(), 0);
    assert_eq!(Address([0xff; 32]).shard(9).index(), 19_682);
    // ⌈2^256 / 3⌉ = 0x5555…56 is the first key of shard 1.
    let mut first = [0x55; 32];
    assert_eq!(Address(first).shard(1).index(), 0);
    first[31] = 0x56;
    assert_eq!(Address(first).shard(1).index(), 1);
    assert_eq!(Address(first).shard(200).level(), 9);
}

proptest! {
    #[test]
    fn text_round_trips(bytes: [u8; 32], dev: bool) {
        let hrp = if dev { Hrp::Dev } else { Hrp::Main };
        let text = Address(bytes).to_bech32(hrp);
        prop_assert_eq!(Address::parse(&text), Ok((hrp, Address(bytes))));
    }

    #[test]
    fn any_text_is_answered(text in ".{0,80}") {
        if let Ok((hrp, address)) = Address::parse(&text) {
            prop_assert!(address.to_bech32(hrp).eq_ignore_ascii_case(&text));
        }
        if let Ok(word) = text.parse::<ShardAddress>() {
            prop_assert_eq!(word.to_string(), text);
        }
    }

    #[test]
    fn shards_nest_and_keep_key_order(a: [u8; 32], b: [u8; 32]) {
        let (low, high) = (Address(a.min(b)), Address(a.max(b)));
        for level in 0..=ShardAddress::MAX_LEVEL {
            prop_assert!(low.shard(level) <= high.shard(level));
            prop_assert!(low.shard(level).contains(&low));
            prop_assert_eq!(low.shard(9).prefix(level), Some(low.shard(level)));
            prop_assert_eq!(ShardAddress::all(level).filter(|w| w.contains(&low)).count(), 1);
            if level == 4 { break; }
        }
    }

    #[test]
    fn accepted_words_have_one_form(bytes: [u8; 5]) {
        if let Ok(word) = ShardAddress::from_bytes(&bytes, 5) {
            prop_assert_eq!(word.to_bytes(), bytes);
        } else {
            prop_assert!(bytes[0] > 9 || u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) >= ShardAddress::count(bytes[0]));
        }
    }
}
