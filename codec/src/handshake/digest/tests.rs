//! Golden vectors of the digest form; `FFmpeg`'s own check accepts them.

use super::*;

struct Vector {
    scheme: Scheme,
    c1_offset: usize,
    c1_digest: &'static str,
    s1_offset: usize,
    s1_digest: &'static str,
    s2_signature: &'static str,
    c2_signature: &'static str,
}

const VECTORS: [Vector; 2] = [
    Vector {
        scheme: Scheme::DigestFirst,
        c1_offset: 50,
        c1_digest: "847b0a67b05fc66226127cd092337f2f9d2150340f81eafde5b40988a40a60b8",
        s1_offset: 266,
        s1_digest: "0ee083ee06cc3367db10843240dc6a4b940e72ca15aaeab13416786f6a98e46a",
        s2_signature: "f889386430a92333cd00efdd78bbc9c8439dee521d62dba7f0957a9d7bd6bada",
        c2_signature: "721c65e006bf64c675f654638b35a62ced1f0da1aca50256a89f0ab0fd39b478",
    },
    Vector {
        scheme: Scheme::KeyFirst,
        c1_offset: 798,
        c1_digest: "2e064d617800c563ffdb6ff67e2084be69f21576d0e3449c252dccae7bd4ce49",
        s1_offset: 1046,
        s1_digest: "ed29b62558bb3531539de5b3818dc127a80200e63fb7b5b4985191a5d9c6e7c1",
        s2_signature: "a69e05d1be054818148405e0bfcd603da84b7d343d709734e750bf2297fec690",
        c2_signature: "8c6b945b3045cb7f02e62937fc391899215b376411cb8ee2cd03c8768ac7af81",
    },
];

fn block(version: [u8; 4], byte: impl Fn(usize) -> usize) -> [u8; BLOCK_BYTES] {
    let mut block = std::array::from_fn(|i| (byte(i) % 256) as u8);
    block[..4].fill(0);
    block[4..8].copy_from_slice(&version);
    block
}

fn c1() -> [u8; BLOCK_BYTES] {
    block([9, 0, 0x7c, 2], |i| i)
}

fn s1() -> [u8; BLOCK_BYTES] {
    block([4, 5, 0, 1], |i| 255 - i % 256)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn digests_of_both_schemes_are_those_of_the_field() {
    for vector in &VECTORS {
        let (mut c1, mut s1) = (c1(), s1());
        assert_eq!(vector.scheme.offset(&c1), vector.c1_offset);
        assert_eq!(vector.scheme.offset(&s1), vector.s1_offset);
        assert_eq!(hex(&sign(&mut c1, vector.scheme, Key::Client)), vector.c1_digest);
        assert_eq!(hex(&sign(&mut s1, vector.scheme, Key::Server)), vector.s1_digest);
        assert_eq!(find(&c1, Key::Client).map(|(scheme, _)| scheme), Some(vector.scheme));
        assert_eq!(find(&s1, Key::Server).map(|(scheme, _)| scheme), Some(vector.scheme));
    }
}

#[test]
fn signatures_of_the_answers_are_those_of_the_field() {
    for vector in &VECTORS {
        let c1_digest = sign(&mut c1(), vector.scheme, Key::Client);
        let s1_digest = sign(&mut s1(), vector.scheme, Key::Server);
        let mut s2: [u8; BLOCK_BYTES] = std::array::from_fn(|i| (7 * i % 256) as u8);
        sign_response(&mut s2, &c1_digest, Key::Server);
        assert_eq!(hex(&s2[BLOCK_BYTES - DIGEST_BYTES..]), vector.s2_signature);
        let mut c2: [u8; BLOCK_BYTES] = std::array::from_fn(|i| (5 * i % 256) as u8);
        sign_response(&mut c2, &s1_digest, Key::Client);
        assert_eq!(hex(&c2[BLOCK_BYTES - DIGEST_BYTES..]), vector.c2_signature);
        assert!(verify_response(&s2, &c1_digest, Key::Server));
        assert!(!verify_response(&s2, &s1_digest, Key::Server));
    }
}

#[test]
fn a_block_that_is_not_signed_or_not_whole_has_no_digest() {
    assert_eq!(find(&c1(), Key::Client), None);
    assert_eq!(find(&c1()[1..], Key::Client), None);
    assert!(!verify_response(&[0; 100], &[0; DIGEST_BYTES], Key::Server));
}

#[test]
fn a_digest_lies_within_its_block_whatever_the_block_says() {
    for fill in [0, 0x7f, 0xff] {
        for scheme in Scheme::ALL {
            assert!(scheme.offset(&[fill; BLOCK_BYTES]) + DIGEST_BYTES <= BLOCK_BYTES);
        }
    }
}
